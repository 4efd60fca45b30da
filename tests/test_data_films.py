"""Clips of a set as people film them: recordings joined in one file, proxies, second sounds."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from echoframe.data.decode import read_clip
from echoframe.data.normal_form import Form, write_normal
from echoframe.data.verify import inspect_clip
from echoframe.evaluation.sounds import Listening, listen
from echoframe.media.demux import film_span
from echoframe.spec import ClipSpec
from planted_video import head, numbers, write_film


@pytest.fixture(scope="module")
def joined(tmp_path_factory) -> Path:
    """Two recordings of 2 s in one MPEG-TS, whose clock starts again; each is loud for its first half second."""
    folder = tmp_path_factory.mktemp("joined")
    loud = np.pad(0.5 * np.sin(np.arange(8000) / 6), (0, 24_000))[None].astype(np.float32)
    piece = write_film(folder / "piece.ts", {Fraction(0): loud}, codec="aac")
    (folder / "joined.ts").write_bytes(piece.read_bytes() * 2)
    return folder / "joined.ts"


def test_recordings_joined_in_one_file_are_one_clip(joined, tmp_path):
    clip = read_clip(joined, ClipSpec(duration_s=10.0, frame_rate=4.0, n_frames=20, sampling="head"), short_side=32)
    assert clip.duration_s == pytest.approx(film_span(joined).duration_s, abs=1e-3) == pytest.approx(4.0, abs=0.05)
    assert clip.mask.sum() == 16
    seen = numbers(clip.images)[:16]
    assert seen[:8] == pytest.approx(seen[8:], abs=1)
    assert len(clip.sound) / clip.sample_rate == pytest.approx(4.0, abs=0.15)
    heard = listen(joined, Listening())
    assert heard.duration_s == pytest.approx(4.0, abs=0.15)
    for sound, rate in ((clip.sound, clip.sample_rate), (heard.waveform[0].numpy(), heard.sample_rate)):
        halves = np.abs(sound[: 4 * rate]).reshape(8, -1).max(axis=1) > 0.1
        assert halves.tolist() == [True, False, False, False] * 2
    facts = inspect_clip(joined)
    assert (facts.video_s, facts.n_frames) == (pytest.approx(4.0, abs=0.05), 100)
    normal = write_normal(joined, facts, tmp_path / "clip.mp4", Form(duration_s=4.0))
    assert normal.video_s == pytest.approx(4.0)
    repaired = read_clip(tmp_path / "clip.mp4", ClipSpec(duration_s=4.0), short_side=32)
    halves = np.abs(repaired.sound[: 4 * 48_000]).reshape(8, -1).max(axis=1) > 0.1
    assert (halves[[0, 4]].all(), halves[[1, 2, 3, 6, 7]].any()) == (True, False)


def test_the_streams_that_players_play_are_taken(tmp_path):
    """As in a film whose proxy comes first, and whose own sound is its second."""
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        proxy, shown = (container.add_stream("libx264", rate=10) for _ in range(2))
        proxy.width, proxy.height, shown.width, shown.height = 32, 32, 64, 64
        other, played = (container.add_stream("pcm_s16le", rate=8000, layout="mono") for _ in range(2))
        proxy.pix_fmt = shown.pix_fmt = "yuv420p"
        for stream in (proxy, other):
            stream.disposition = Disposition(0)
        for stream in (shown, played):
            stream.disposition = Disposition.default
        for stream in (proxy, shown):
            for i in range(10):
                image = np.full((stream.height, stream.width, 3), 250 if stream is shown else 5, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        for stream in (other, played):
            samples = np.full((1, 8000), 16_000 if stream is played else 0, np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    clip = read_clip(path, head(2, 4.0), short_side=32)
    assert clip.images.min() > 200
    assert np.abs(clip.sound).max() == pytest.approx(0.49, abs=0.01)
    assert not listen(path, Listening()).is_silent
    facts = inspect_clip(path)
    assert (facts.width, facts.peak_db) == (64, pytest.approx(-6.2, abs=0.1))
