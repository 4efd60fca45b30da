"""What is said of a clip: its lengths, its faults, and that no damage passes; and of a whole folder."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from av.stream import Disposition

from echoframe.data import verify
from echoframe.data.clip_list import ClipRow, clip_path
from echoframe.data.ledger import REASONS, open_ledger
from echoframe.data.measure import peak
from echoframe.data.verify import ClipFacts, inspect_clip, problems, remove_partials, run_each, verify_folder
from echoframe.errors import AudioError, EchoFrameError, InputError, VideoError
from planted_video import numbered, write_video

TEN = Fraction(10)


def film(path: Path, duration_s: int = 10, *, tone_hz: float | None = 440.0) -> Path:
    """Ten small pictures a second, each of them different, and a tone at -8 dBFS."""
    return write_video(path, n_frames=10 * duration_s, rate=TEN, tone_hz=tone_hz)


def remuxed(source: Path, target: Path, options: dict[str, str]) -> Path:
    with av.open(str(source)) as before, av.open(str(target), "w", container_options=options) as after:
        copies = {stream.index: after.add_stream_from_template(stream) for stream in before.streams}
        for packet in before.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                after.mux(packet)
    return target


def tone(path: Path, duration_s: float = 10.0, *, rate: int = 16_000, subtype: str = "PCM_16") -> Path:
    wave = 0.25 * np.sin(2 * np.pi * 440 * np.arange(round(duration_s * rate)) / rate)
    soundfile.write(path, wave, rate, subtype=subtype)
    return path


def reasons(facts: ClipFacts, **settings: float) -> list[str]:
    return [reason for reason, _ in problems(facts, **settings)]


def test_a_good_clip(tmp_path):
    path = film(tmp_path / "Tür ü 水.mp4")
    facts = inspect_clip(path)
    assert (facts.video_s, facts.n_frames, facts.frame_rate) == (10.0, 100, 10.0)
    assert facts.audio_s == pytest.approx(10.0, abs=0.022)  # AAC comes in blocks of 1024 samples
    assert (facts.width, facts.height, facts.sample_rate, facts.channels) == (64, 48, 48_000, 2)
    assert facts.peak_db == pytest.approx(20 * np.log10(0.4), abs=0.3)
    assert (facts.video_codec, facts.audio_codec, facts.size) == ("h264", "aac", path.stat().st_size)
    assert not facts.black
    assert not facts.still
    assert problems(facts) == []
    assert ClipFacts(**json.loads(json.dumps(asdict(facts)))) == facts


def test_rate_rotation_and_pixel_aspect(tmp_path):
    path = write_video(tmp_path / "a.mp4", n_frames=24, rate=Fraction(24000, 1001), tone_hz=440.0)
    facts = inspect_clip(path)
    assert facts.frame_rate == pytest.approx(24000 / 1001, abs=1e-5)
    assert facts.video_s == pytest.approx(1.001, abs=1e-4)
    turned = write_video(tmp_path / "b.mp4", n_frames=3, rotation=(90, False), aspect=Fraction(3, 2))
    assert (inspect_clip(turned).width, inspect_clip(turned).height) == (48, 96)


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libvpx-vp9"), ("a.mkv", "libx264"), ("a.mov", "libx264")])
def test_containers(tmp_path, name, codec):
    path = write_video(tmp_path / name, n_frames=20, rate=TEN, codec=codec, tone_hz=440.0, start=Fraction(3))
    facts = inspect_clip(path)
    assert (facts.n_frames, facts.video_s) == (20, 2.0)
    assert reasons(facts, duration_s=2.0) == []


def test_an_avi_that_repeats_its_last_frame(tmp_path):
    path = write_video(tmp_path / "a.avi", codec="mpeg4", n_frames=10, rate=TEN)
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.avi"), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux() if packet.size]
        for packet in packets:
            packet.stream = copy
            # the frames come at half the rate: the muxer fills the ticks between with empty packets
            packet.pts = packet.dts = 2 * (packet.dts or 0)
            target.mux(packet)
    facts = inspect_clip(tmp_path / "b.avi")
    assert facts.n_frames == 10
    assert facts.video_s == pytest.approx(1.9, abs=0.11)


def test_sound_alone(tmp_path):
    wav, flac = inspect_clip(tone(tmp_path / "a.wav")), inspect_clip(tone(tmp_path / "a.flac", subtype="PCM_24"))
    assert (wav.audio_s, wav.video_s, wav.n_frames, wav.width, wav.frame_rate) == (10.0, None, 0, 0, 0.0)
    assert (wav.audio_codec, flac.audio_codec, wav.video_codec) == ("pcm_s16le", "flac", "")
    assert wav.peak_db == pytest.approx(20 * np.log10(0.25), abs=0.01)
    assert flac.peak_db == wav.peak_db
    assert reasons(wav) == reasons(flac) == ["no-video"]


def test_a_songs_cover_is_no_video(tmp_path):
    song = film(tmp_path / "song.mp4", 1)
    picture = write_video(tmp_path / "picture.mov", n_frames=1, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(song)) as sound, av.open(str(picture)) as cover, av.open(str(tmp_path / "b.mp4"), "w") as target:
        sources = (sound.streams.audio[0], cover.streams.video[0])
        copies = [target.add_stream_from_template(stream, opaque=True) for stream in sources]
        copies[1].disposition = Disposition.attached_pic
        for container, stream, copy in zip((sound, cover), sources, copies, strict=True):
            for packet in container.demux(stream):
                if packet.size:
                    packet.stream = copy
                    target.mux(packet)
    facts = inspect_clip(tmp_path / "b.mp4")
    assert (facts.video_s, facts.video_codec, facts.audio_codec) == (None, "", "aac")
    assert reasons(facts, duration_s=1.0) == ["no-video"]


def test_faults_that_decode(tmp_path):
    dark, photograph = np.zeros((48, 64, 3), dtype=np.uint8), numbered(37)
    noise = np.random.default_rng(0).integers(0, 8, (20, 192, 256, 3), dtype=np.uint8)
    lit = dark.copy()
    lit[20:28, 30:40] = 200
    assert reasons(inspect_clip(film(tmp_path / "mute.mp4", 2, tone_hz=None)), duration_s=2.0) == ["no-audio"]
    silent = inspect_clip(film(tmp_path / "silent.mp4", 2, tone_hz=0.0))
    assert (silent.peak_db, reasons(silent, duration_s=2.0)) == (None, ["silent"])
    for name, images, black, still in [
        ("black", [dark] * 20, True, True),
        ("noise", list(noise), True, True),
        ("lit", [dark] * 8 + [lit] * 12, False, False),
        ("photograph", [photograph] * 20, False, True),
    ]:
        facts = inspect_clip(write_video(tmp_path / f"{name}.mp4", images=images, rate=TEN, tone_hz=440.0))
        assert (name, facts.black, facts.still) == (name, black, still)
        assert ("black" in reasons(facts)) == black


def test_problems_in_words(tmp_path):
    facts = inspect_clip(film(tmp_path / "a.mp4", 3))
    assert reasons(facts) == ["too-short"]
    (_, line) = problems(facts)[0]
    assert line.startswith("lasts 3.00 s (picture 3.00 s, sound 3.0")
    assert line.endswith("expected 10 s")
    assert reasons(facts, duration_s=3.05) == []
    assert reasons(facts, duration_s=3.05, tolerance_s=0.01) == ["too-short"]
    quiet = replace(facts, peak_db=-71.0)
    assert ("silent", "silent: its loudest sample is at -71 dBFS; expected -60 dBFS or more") in problems(quiet)
    nothing = replace(facts, peak_db=None, black=True, video_s=None, audio_s=None)
    assert set(reasons(nothing)) == {"no-audio", "no-video", "black"}
    assert set(reasons(nothing)) <= set(REASONS)


@pytest.mark.parametrize("kind", ["a.mp4", "fast.mp4", "fragments.mp4", "a.mkv", "a.webm", "a.wav", "a.flac"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_file_that_is_cut_off(tmp_path, kind, share):
    if kind in ("a.wav", "a.flac"):
        path = tone(tmp_path / kind)
    elif kind in ("fast.mp4", "fragments.mp4"):
        flags = {"fast.mp4": "+faststart", "fragments.mp4": "+frag_keyframe+empty_moov"}
        path = remuxed(film(tmp_path / "x.mp4"), tmp_path / kind, {"movflags": flags[kind]})
    else:
        codec = "libvpx-vp9" if kind == "a.webm" else "libx264"
        path = write_video(tmp_path / kind, n_frames=100, rate=TEN, tone_hz=440.0, codec=codec)
    assert reasons(inspect_clip(path)) in ([], ["no-video"])
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * (1 - share))])
    with pytest.raises(
        (VideoError, AudioError), match=r"(breaks off at [\d.]+ s|be read as a clip|can be read|can be decoded)"
    ) as caught:
        inspect_clip(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_bytes_that_were_altered(tmp_path):
    path = film(tmp_path / "a.mp4")
    with av.open(str(path)) as container:
        packets = [(packet.stream.type, packet.pos or 0, packet.size) for packet in container.demux() if packet.size]
    for kind, fault in (("video", VideoError), ("audio", AudioError)):
        _, begin, size = [packet for packet in packets if packet[0] == kind][40]
        data = bytearray(path.read_bytes())
        data[begin + size // 2 : begin + size] = np.random.default_rng(1).bytes(size - size // 2)
        broken = tmp_path / f"{kind}.mp4"
        broken.write_bytes(data)
        what = "picture" if kind == "video" else "sound"
        with pytest.raises(fault, match=f"its {what} breaks off at"):
            inspect_clip(broken)


def test_what_is_no_clip(tmp_path):
    with pytest.raises(VideoError, match="no such file"):
        inspect_clip(tmp_path / "a.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match="is empty"):
        inspect_clip(tmp_path / "empty.mp4")
    (tmp_path / "words.mp4").write_text("<html>Sorry, this video is not available</html>")
    with pytest.raises(VideoError, match="cannot be read as a clip"):
        inspect_clip(tmp_path / "words.mp4")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16_000)
    with pytest.raises((AudioError, VideoError), match="(nothing of its sound can be decoded|can be read)"):
        inspect_clip(tmp_path / "none.wav")
    with av.open(str(tmp_path / "subtitles.mkv"), "w") as container:
        stream = container.add_stream("ass")
        packet = av.Packet(b"0,0,Default,,0,0,0,,hm")
        packet.stream, packet.pts, packet.dts, packet.duration, packet.time_base = stream, 0, 0, 1000, Fraction(1, 1000)
        container.mux(packet)
    with pytest.raises(VideoError, match="neither picture nor sound"):
        inspect_clip(tmp_path / "subtitles.mkv")


def test_full_scale_of_every_sample_type():
    halves = {np.uint8: 64, np.int16: -(2**14), np.int32: -(2**30), np.float32: -0.5, np.float64: 0.5}
    for kind, half in halves.items():
        zero = 128 if kind is np.uint8 else 0
        assert peak(np.array([zero, half], dtype=kind)) == 0.5
    assert peak(np.array([np.nan, 0.25])) == 0.25
    assert peak(np.zeros((2, 0))) == 0.0


def row(name: str) -> ClipRow:
    return ClipRow(youtube_id=name.ljust(11, "_"), start_s=1)


def folder_of(folder: Path, **films: Callable[[Path], Path]) -> dict[str, str]:
    """A clip folder, every clip done but with no facts yet; keys by name."""
    with open_ledger(folder) as ledger:
        ledger.add(row(name) for name in films)
        for name, make in films.items():
            suffix = ".wav" if make is tone else ".mp4"
            path = clip_path(folder, row(name).key, suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
            ledger.done(row(name).key, file=path.relative_to(folder).as_posix(), facts={})
    return {name: row(name).key for name in films}


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_folder(tmp_path, n_workers):
    folder = tmp_path / "Ordner ü 水"
    folder.mkdir()

    def cut(path: Path) -> Path:
        path.write_bytes(film(path).read_bytes()[:4000])
        return path

    keys = folder_of(
        folder,
        good=film,
        gone=film,
        cut=cut,
        changed=film,
        short=lambda path: film(path, 3),
        mute=lambda path: film(path, tone_hz=None),
        sound=tone,
    )
    clip_path(folder, keys["gone"], ".mp4").unlink()
    with open_ledger(folder) as ledger:
        ledger.done(
            keys["changed"],
            file=f"clips/{clip_path(folder, keys['changed'], '').parent.name}/{keys['changed']}.mp4",
            facts={"sha256": "0" * 64},
        )
        told: list[tuple[int, int, str]] = []
        counts = verify_folder(folder, ledger, progress=lambda *words: told.append(words), n_workers=n_workers)
        assert counts == {
            "checked": 7,
            "good": 1,
            "missing": 1,
            "broken": 2,
            "too-short": 1,
            "no-audio": 1,
            "no-video": 1,
        }
        entries = {entry.row.youtube_id.rstrip("_"): entry for entry in ledger.entries()}
        assert {name for name, entry in entries.items() if entry.state == "lost"} == {"gone", "cut", "changed"}
        assert entries["gone"].reason == "missing"
        assert entries["cut"].reason == "broken"
        assert str(folder) not in entries["cut"].detail
        now = inspect_clip(clip_path(folder, keys["changed"], ".mp4")).sha256
        assert entries["changed"].detail.endswith(f"its sha256 was {'0' * 64}, now it is {now}")
        assert entries["short"].facts["video_s"] == 3.0
        assert entries["good"].facts == asdict(inspect_clip(folder / entries["good"].file))
        assert [(i, n) for i, n, _ in told] == [(i, 7) for i in range(1, 8)]
        assert any(words == f"{keys['short']}: too-short" for _, _, words in told)
        assert verify_folder(folder, ledger) == {"checked": 4, "good": 1, "too-short": 1, "no-audio": 1, "no-video": 1}


def test_workers(monkeypatch):
    with pytest.raises(InputError, match="expected 1 or more processes"):
        list(run_each(len, ["a"], n_workers=0))
    assert list(run_each(len, ["a" * i for i in range(20)], n_workers=2)) == [("a" * i, i) for i in range(20)]
    with pytest.raises(EchoFrameError, match="a worker process was killed"):
        list(run_each(_die, [9], n_workers=2))


def _die(signal: int) -> None:
    import os

    os.kill(os.getpid(), signal)


def test_what_a_killed_run_left_is_swept(tmp_path):
    path = clip_path(tmp_path, "x", ".mp4")
    path.parent.mkdir(parents=True)
    path.touch()
    path.with_name(".x.0a1b2c3d.tmp.mp4").touch()
    remove_partials(tmp_path)
    assert [found.name for found in path.parent.iterdir()] == ["x.mp4"]


def test_only_true_containers_are_opened(tmp_path):
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(VideoError, match="cannot be read as a clip"):
        inspect_clip(tmp_path / "list.mp4")
    assert "hls" not in verify.CONTAINERS
