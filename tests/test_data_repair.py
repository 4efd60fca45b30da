"""The normal form to the frame and the sample; what goes into quarantine; and runs that are killed."""

import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from echoframe.data.clip_list import ClipRow, clip_path
from echoframe.data.ledger import Ledger, open_ledger
from echoframe.data.normal_form import Form
from echoframe.data.repair import normalise, repair_folder
from echoframe.data.verify import inspect_clip, problems
from echoframe.errors import AudioError, InputError, OutputError, VideoError
from echoframe.media.video import probe, read_frames
from planted_video import assert_same_picture, corners, head, numbered, numbers, write_video

TEN = Fraction(10)
SMALL = Form(duration_s=2.0, sample_rate=16_000, short_side=32, frame_rate=10)


def film(path: Path, duration_s: float = 2.0, *, tone_hz: float | None = 440.0) -> Path:
    return write_video(path, n_frames=round(10 * duration_s), rate=TEN, tone_hz=tone_hz)


def tone(path: Path, duration_s: float = 2.0, *, rate: int = 16_000, subtype: str = "PCM_16") -> Path:
    wave = 0.25 * np.sin(2 * np.pi * 440 * np.arange(round(duration_s * rate)) / rate)
    soundfile.write(path, np.stack([wave, 0.5 * wave], axis=1), rate, subtype=subtype)
    return path


def sound_of(path: Path) -> np.ndarray:
    """(C, S) int16."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.format.name) == ("flac", "s16")
        parts = [frame.to_ndarray() for frame in container.decode(stream)]
        return np.concatenate(parts, axis=1).reshape(-1, stream.channels).T


@pytest.mark.parametrize(
    ("name", "codec", "rate", "n_frames"),
    [
        ("a.mp4", "libx264", Fraction(24000, 1001), 240),
        ("a.webm", "libvpx-vp9", Fraction(25), 255),
        ("a.mkv", "libx264", Fraction(10), 98),
    ],
)
def test_ten_seconds_to_the_sample(tmp_path, name, codec, rate, n_frames):
    """A little longer or shorter than ten seconds: 250 frames and 480000 samples, and the same bytes each time."""
    folder = tmp_path / "Tür ü 水"
    folder.mkdir()
    source = write_video(folder / name, n_frames=n_frames, rate=rate, codec=codec, tone_hz=440.0)
    facts = normalise(source, folder / "b.mp4")
    assert facts == inspect_clip(folder / "b.mp4")
    assert (facts.n_frames, facts.frame_rate, facts.video_s, facts.audio_s) == (250, 25.0, 10.0, 10.0)
    assert (facts.video_codec, facts.audio_codec, facts.sample_rate, facts.channels) == ("h264", "flac", 48_000, 2)
    assert (facts.width, facts.height) == (64, 48)
    assert sound_of(folder / "b.mp4").shape == (2, 480_000)
    assert problems(facts, tolerance_s=0.0) == []
    with av.open(str(folder / "b.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
        assert times == pytest.approx(np.arange(250) / 25, abs=1e-6)
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert not {"encoder", "creation_time"} & {key for s in container.streams for key in s.metadata}
    assert normalise(source, folder / "c.mp4").sha256 == facts.sha256
    assert sorted(path.name for path in folder.iterdir()) == sorted([name, "b.mp4", "c.mp4"])


@pytest.mark.parametrize("size", [(100, 100), (202, 120)])
def test_the_same_bytes_for_any_size(tmp_path, size):
    """x264 is not so by itself, for pictures of an odd number of blocks on some processors."""
    grain = np.random.default_rng(0).integers(0, 80, (size[1] + 20, size[0] + 20, 3), dtype=np.uint8)
    grain += np.linspace(0, 160, size[0] + 20, dtype=np.uint8)[:, None]
    images = [np.ascontiguousarray(grain[i : i + size[1], i : i + size[0]]) for i in range(20)]
    source = write_video(tmp_path / "a.mp4", images=images, rate=TEN, tone_hz=440.0)
    sums = {
        normalise(source, tmp_path / f"{i}.mp4", duration_s=2.0, short_side=360, frame_rate=10).sha256 for i in range(6)
    }
    assert len(sums) == 1


def small(source: Path, target: Path):
    return normalise(source, target, duration_s=2.0, sample_rate=16_000, short_side=32, frame_rate=10)


def test_which_pictures_are_shown(tmp_path):
    """Twenty frames a second become ten: every second one; at the end the last is held, the sound is silent."""
    source = write_video(tmp_path / "a.mp4", n_frames=32, rate=Fraction(20), tone_hz=1000.0)
    facts = small(source, tmp_path / "b.mp4")
    assert (facts.width, facts.height) == (42, 32)
    shown = numbers(read_frames(tmp_path / "b.mp4", head(20, 10.0), short_side=32).images)
    assert shown == [*range(0, 32, 2), 31, 31, 31, 31]
    sound = sound_of(tmp_path / "b.mp4")
    assert sound.shape == (2, 32_000)
    assert np.abs(sound[:, 20_000:25_000]).max() == pytest.approx(0.4 * 32768, rel=0.05)
    assert np.abs(sound[:, 26_100:]).max() < 40


def test_a_sound_that_is_sixteen_bits_already_is_kept(tmp_path):
    source = tone(tmp_path / "a.wav", 2.3)
    facts = small(source, tmp_path / "b.flac")
    before, rate = soundfile.read(source, dtype="int16", always_2d=True)
    after, _ = soundfile.read(tmp_path / "b.flac", dtype="int16", always_2d=True)
    assert rate == 16_000
    assert soundfile.info(tmp_path / "b.flac").subtype == "PCM_16"
    assert np.array_equal(after, before[:32_000])
    assert (facts.audio_s, facts.video_s, facts.channels) == (2.0, None, 2)
    assert small(source, tmp_path / "c.flac").sha256 == facts.sha256
    short = small(tone(tmp_path / "d.wav", 1.6, rate=44_100, subtype="PCM_24"), tmp_path / "e.flac")
    assert (short.audio_s, short.sample_rate) == (2.0, 16_000)
    assert not soundfile.read(tmp_path / "e.flac")[0][26_000:].any()


def test_picture_and_sound_stay_in_time(tmp_path):
    """The picture turns white and the sound begins at 1 s; the container's clock begins at 1.5 s, the sound's too."""
    images = [np.full((48, 64, 3), 240 if i >= 10 else 10, dtype=np.uint8) for i in range(20)]
    source = write_video(
        tmp_path / "a.mkv", images=images, rate=TEN, tone_hz=1000.0, tone_from_s=1.0, start=Fraction(3, 2)
    )
    small(source, tmp_path / "b.mp4")
    bright = read_frames(tmp_path / "b.mp4", head(20, 10.0), short_side=32).images.mean(axis=(1, 2, 3)) > 128
    assert bright.tolist() == [False] * 10 + [True] * 10
    loud = np.abs(sound_of(tmp_path / "b.mp4")[0]) > 5000
    assert loud.argmax() / 16_000 == pytest.approx(1.0, abs=0.002)


def test_a_picture_that_begins_late_is_held_from_the_beginning(tmp_path):
    source = film(tmp_path / "a.mkv", 2.0)
    with av.open(str(source)) as before, av.open(str(tmp_path / "b.mkv"), "w") as after:
        copies = {stream.index: after.add_stream_from_template(stream) for stream in before.streams}
        for packet in before.demux():
            if packet.size:
                late = 300 if packet.stream.type == "video" else 0  # ms
                packet.pts, packet.dts = (packet.pts or 0) + late, (packet.dts or 0) + late
                packet.stream = copies[packet.stream.index]
                after.mux(packet)
    small(tmp_path / "b.mkv", tmp_path / "c.mp4")
    shown = numbers(read_frames(tmp_path / "c.mp4", head(20, 10.0), short_side=32).images)
    assert shown == [0, 0, 0, *range(17)]
    assert np.abs(sound_of(tmp_path / "c.mp4")[0, :3000]).max() > 10_000


def test_upright_even_and_never_larger(tmp_path):
    turned = write_video(tmp_path / "a.mp4", images=[corners()] * 20, rate=TEN, rotation=(90, False), tone_hz=440.0)
    facts = normalise(turned, tmp_path / "b.mp4", duration_s=2.0)
    assert (facts.width, facts.height, probe(turned).width, probe(turned).height) == (32, 64, 32, 64)
    one = head(1, 10.0)
    pictures = [read_frames(path, one, short_side=32).images[0] for path in (turned, tmp_path / "b.mp4")]
    assert_same_picture(*pictures, tolerance=25)
    odd = write_video(
        tmp_path / "c.mkv",
        images=[numbered(i, (63, 47)) for i in range(20)],
        rate=TEN,
        codec="ffv1",
        pix_fmt="bgr0",
        tone_hz=440.0,
    )
    assert normalise(odd, tmp_path / "d.mp4", duration_s=2.0).width == 62
    wide = write_video(tmp_path / "e.mp4", n_frames=20, rate=TEN, aspect=Fraction(3, 2), tone_hz=440.0)
    facts = normalise(wide, tmp_path / "f.mp4", duration_s=2.0, short_side=24)
    assert (facts.width, facts.height) == (48, 24)
    assert Form().size(1, 400) == (2, 400)


def test_mono_stays_mono_and_six_channels_become_two(tmp_path):
    for n_channels, expected in ((1, 1), (6, 2)):
        wave = np.random.default_rng(0).uniform(-0.1, 0.1, (32_000, n_channels))
        soundfile.write(tmp_path / f"{n_channels}.wav", wave, 16_000)
        assert small(tmp_path / f"{n_channels}.wav", tmp_path / f"{n_channels}.flac").channels == expected


def test_what_has_no_normal_form(tmp_path):
    with pytest.raises(VideoError, match=r"a\.mp4: has no normal form, as it lasts 1\.40 s"):
        small(film(tmp_path / "a.mp4", 1.4), tmp_path / "x.mp4")
    with pytest.raises(VideoError, match="has no normal form"):
        small(film(tmp_path / "b.mp4", tone_hz=None), tmp_path / "x.mp4")
    cut = tone(tmp_path / "c.flac")
    cut.write_bytes(cut.read_bytes()[:-4000])
    with pytest.raises(AudioError, match="breaks off"):
        small(cut, tmp_path / "x.flac")
    good = film(tmp_path / "d.mp4")
    with pytest.raises(InputError, match=r"x\.mkv: cannot hold the normal form of d\.mp4; name it x\.mp4"):
        small(good, tmp_path / "x.mkv")
    with pytest.raises(OutputError, match="cannot be written"):
        small(good, good / "x.mp4")
    with pytest.raises(InputError, match="expected up to 3600 s, 8000 Hz or more"):
        Form(sample_rate=0)
    with pytest.raises(InputError, match="not a whole number of frames"):
        Form(duration_s=1.05, frame_rate=10)
    assert not list(tmp_path.glob("*x.*"))


Make = Callable[[Path], Path]


def cut(path: Path) -> Path:
    path.write_bytes(film(path).read_bytes()[:3000])
    return path


def black(path: Path) -> Path:
    return write_video(path, images=[np.zeros((48, 64, 3), dtype=np.uint8)] * 20, rate=TEN, tone_hz=440.0)


def key_of(name: str) -> str:
    return ClipRow(youtube_id=name.ljust(11, "_"), start_s=1).key


def clip_folder(folder: Path, films: dict[str, Make]) -> Path:
    """A clip folder with one clip per "name.suffix", each done but not looked at yet."""
    folder.mkdir()
    with open_ledger(folder) as ledger:
        ledger.add(ClipRow(youtube_id=Path(name).stem.ljust(11, "_"), start_s=1, label="dog barking") for name in films)
        for name, make in films.items():
            path = clip_path(folder, key_of(Path(name).stem), Path(name).suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
            ledger.done(path.stem, file=path.relative_to(folder).as_posix(), facts={"sha256": name})
    return folder


def state_of(folder: Path) -> tuple[list[object], dict[str, str]]:
    """What the ledger says (not when), and the files."""
    with open_ledger(folder) as ledger:
        lines: list[object] = [(e.row, e.state, e.reason, e.detail, e.file, dict(e.facts)) for e in ledger.entries()]
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "ledger" not in path.name)
    return lines, {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


ALL: dict[str, Make] = {
    "good.mp4": film,
    "matroska.mkv": film,
    "wave.wav": tone,
    "long.mp4": lambda path: film(path, 2.5),
    "cut.mp4": cut,
    "mute.mkv": lambda path: film(path, tone_hz=None),
    "short.mp4": lambda path: film(path, 1.0),
    "silent.mp4": lambda path: film(path, tone_hz=0.0),
    "black.mp4": black,
    "gone.mp4": film,
}


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_folder(tmp_path, n_workers):
    folder = clip_folder(tmp_path / "Ordner ü 水", ALL)
    clip_path(folder, key_of("gone"), ".mp4").unlink()
    told: list[tuple[int, int, str]] = []
    with open_ledger(folder) as ledger:
        counts = repair_folder(
            folder, ledger, form=SMALL, progress=lambda *words: told.append(words), n_workers=n_workers
        )
        expected = dict.fromkeys(("broken", "no-audio", "too-short", "silent", "black", "missing"), 1)
        assert counts == {"checked": 10, "normal": 0, "repaired": 4, **expected}
        assert [words[:2] for words in told] == [(i, 10) for i in range(1, 11)]
        entries = {entry.row.key: entry for entry in ledger.entries()}
    for name, suffix in (("good", ".mp4"), ("matroska", ".mp4"), ("wave", ".flac"), ("long", ".mp4")):
        entry = entries[key_of(name)]
        assert entry.file.endswith(f"{key_of(name)}{suffix}")
        assert entry.facts["audio_s"] == 2.0
        assert entry.facts["sha256"] == inspect_clip(folder / entry.file).sha256
    left = {path.name for path in folder.glob("clips/*/*")}
    assert left == {Path(entry.file).name for entry in entries.values() if entry.state == "done"}
    kept = {path.name for path in (folder / "quarantine").iterdir()}
    lost = ("cut.mp4", "mute.mkv", "short.mp4", "silent.mp4", "black.mp4")
    assert kept == {key_of(Path(n).stem) + s for n in lost for s in (".json", Path(n).suffix)}
    words = json.loads((folder / "quarantine" / f"{key_of('short')}.json").read_text())
    assert (words["reason"], words["label"], words["facts"]["video_s"]) == ("too-short", "dog barking", 1.0)
    assert words["detail"] == entries[key_of("short")].detail
    before = state_of(folder)
    with open_ledger(folder) as ledger:
        assert repair_folder(folder, ledger, form=SMALL) == {"checked": 4, "normal": 4, "repaired": 0}
    assert state_of(folder) == before


def test_nearly_in_the_normal_form(tmp_path):
    """All that the form asks for, but 24 bits, or but silent."""
    films: dict[str, Make] = {
        "deep.flac": lambda path: tone(path, subtype="PCM_24"),
        "flat.flac": tone,
        "silent.mp4": lambda path: film(path, tone_hz=0.0),
    }
    folder = clip_folder(tmp_path / "a", films)
    with open_ledger(folder) as ledger:
        path = clip_path(folder, key_of("silent"), ".mp4")
        small(path, path)
        for entry in list(ledger.entries()):
            ledger.done(entry.row.key, file=entry.file, facts=asdict(inspect_clip(folder / entry.file)))
        counts = repair_folder(folder, ledger, form=SMALL)
        assert counts == {"checked": 3, "normal": 1, "repaired": 1, "silent": 1}
        deep = clip_path(folder, key_of("deep"), ".flac")
        assert soundfile.info(deep).subtype == "PCM_16"
        deep.write_bytes(b"")
        assert repair_folder(folder, ledger, form=SMALL)["broken"] == 1


def test_what_verifying_has_lost_goes_to_quarantine_too(tmp_path):
    folder = clip_folder(tmp_path / "a", {"cut.mp4": cut, "net.mp4": film, "text.mp4": film})
    clip = clip_path(folder, key_of("text"), ".mp4")
    clip.with_suffix(".json").write_text("{}")
    clip.with_name("stranger.mp4").touch()
    with open_ledger(folder) as ledger:
        ledger.lost(key_of("cut"), reason="broken", detail="breaks off at 1.0 s")
        ledger.lost(key_of("net"), reason="network", detail="timed out")
        repair_folder(folder, ledger, form=SMALL)
    words = json.loads((folder / "quarantine" / f"{key_of('cut')}.json").read_text())
    assert (words["reason"], words["detail"]) == ("broken", "breaks off at 1.0 s")
    left = {path.name for path in folder.glob("clips/*/*")}
    assert left == {f"{key_of('net')}.mp4", f"{key_of('text')}.mp4", f"{key_of('text')}.json", "stranger.mp4"}


def test_a_video_file_without_a_picture(tmp_path):
    def heard(path: Path) -> Path:
        with av.open(str(film(path.with_suffix(".mkv")))) as source, av.open(str(path), "w") as target:
            copy = target.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(audio=0):
                if packet.size:
                    packet.stream = copy
                    target.mux(packet)
        path.with_suffix(".mkv").unlink()
        return path

    folder = clip_folder(tmp_path / "a", {"heard.mp4": heard})
    with open_ledger(folder) as ledger:
        assert repair_folder(folder, ledger, form=SMALL)["no-video"] == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from echoframe.data.ledger import Ledger, open_ledger
from echoframe.data.normal_form import Form
from echoframe.data.repair import repair_folder

def run(folder, kill_at):
    steps = 0
    def counted(function):
        def step(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)
        return step
    os.replace, os.fsync, Path.unlink, Ledger._set = map(counted, (os.replace, os.fsync, Path.unlink, Ledger._set))
    with open_ledger(folder) as ledger:
        repair_folder(folder, ledger, form=Form(duration_s=2.0, sample_rate=16000, short_side=32, frame_rate=10))

def forked(folder, kill_at):
    child = os.fork()
    if child == 0:
        run(folder, kill_at)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

for folder in sys.argv[1:]:
    kill_at = int(Path(folder).name)
    ended = forked(Path(folder), kill_at)
    assert ended in (0, -signal.SIGKILL), ended
    print(folder)
    assert forked(Path(folder), 0) == 0
    if ended == 0:
        break  # there is no such step any more
"""


def test_killed_at_every_step(tmp_path):
    """Whatever was the last thing a killed run did, the next one ends as a run that was not killed."""
    few = {name: ALL[name] for name in ("good.mp4", "matroska.mkv", "wave.wav", "short.mp4")}
    folder = clip_folder(tmp_path / "unbroken", few)
    copies = [tmp_path / str(i) for i in range(1, 40)]
    for copy in copies:
        shutil.copytree(folder, copy)
    with open_ledger(folder) as ledger:
        repair_folder(folder, ledger, form=SMALL)
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    ended = subprocess.run([sys.executable, script, *copies], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    tried = ended.stdout.splitlines()
    assert 15 <= len(tried) < len(copies)
    expected = state_of(folder)
    for copy in tried:
        assert state_of(Path(copy)) == expected, copy


def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path, monkeypatch):
    folder = clip_folder(tmp_path / "a", {"good.mp4": film})
    before = state_of(folder)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with open_ledger(folder) as ledger:
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OutputError, match="the disk is full"):
            repair_folder(folder, ledger, form=SMALL)
    assert state_of(folder) == before


def test_facts_of_another_version_are_looked_at_again(tmp_path):
    folder = clip_folder(tmp_path / "a", {"good.mp4": film})
    with open_ledger(folder) as ledger:
        repair_folder(folder, ledger, form=SMALL)
        (entry,) = ledger.entries()
        sha = entry.facts["sha256"]
        ledger.done(entry.row.key, file=entry.file, facts={"old": 1})
        assert isinstance(ledger, Ledger)
        assert repair_folder(folder, ledger, form=SMALL)["repaired"] == 1
        (entry,) = ledger.entries()
        assert entry.facts["sha256"] == sha
