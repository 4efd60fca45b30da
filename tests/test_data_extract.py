"""Sources, one decode of a clip, shards on the disk, and a plain loop over them; Ray has a file of its own."""

import io
import json
import tarfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from echoframe.bundles.manifest import read_manifest, write_manifest
from echoframe.data import embedding_set
from echoframe.data import extract as extracting
from echoframe.data.clip_list import ClipRow
from echoframe.data.decode import SoundTrack, as_file, channels_of, mixed, read_clip
from echoframe.data.embedding_set import Failure, Row, Shape, plan_shards, read_failures, read_rows, write_shard
from echoframe.data.encode import ClipEncoder, EncoderChoice, describe, from_anywhere, shape_of, short_side_of
from echoframe.data.engine import DecodeOptions, RowEncoder, decode_row
from echoframe.data.extract import ExtractResult, extract
from echoframe.data.ledger import open_ledger
from echoframe.data.sources import Item, Source, list_source
from echoframe.errors import AudioError, BundleError, EchoFrameError, InputError, OutputError, VideoError
from echoframe.lock import exclusive_lock
from echoframe.media.audio import read_audio
from echoframe.media.video import read_frames
from echoframe.spec import ClipSpec
from planted_video import RATES, as_nobody, head, write_video
from tiny_bundles import DIM, write_tiny_clip_clap, write_tiny_mini

KEYS = [f"{n:011d}_{10 * n:06d}" for n in range(6)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny"
    write_tiny_mini(path)
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Six clips with sound, of which clip 2 is no film and clip 4 has no sound."""
    folder = tmp_path_factory.mktemp("films")
    for n, key in enumerate(KEYS):
        path = folder / f"{key}.mp4"
        if n == 2:
            path.write_bytes(b"not a film at all" * 50)
        else:
            write_video(path, n_frames=20, tone_hz=None if n == 4 else 200.0 + 100 * n)
    return folder


def run(source: Path, out: Path, model: Path, *, shard_clips: int = 2, **options: Any) -> ExtractResult:
    return extract(source, out, model=model, workers=0, device="cpu", shard_clips=shard_clips, **options)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".lock"}


def add_tar(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def write_tar(path: Path, films: Path, keys: list[str]) -> Path:
    with tarfile.open(path, "w") as tar:
        for n, key in enumerate(keys):
            add_tar(tar, f"{key}.mp4", (films / f"{key}.mp4").read_bytes())
            add_tar(tar, f"{key}.json", json.dumps({"label": "rain", "split": ("train", "test")[n % 2]}).encode())
    return path


# sources


def test_a_clip_folder_gives_what_its_ledger_calls_done(tmp_path):
    rows = [ClipRow(youtube_id=f"{n:011d}", start_s=n, label="rain", split="train") for n in range(3)]
    with open_ledger(tmp_path) as ledger:
        ledger.add(rows)
        ledger.done(rows[2].key, file="clips/ab/c.mp4", facts={"sha256": "f" * 64})
        ledger.done(rows[0].key, file="clips/ab/a.mp4", facts={})
        ledger.lost(rows[1].key, reason="private", detail="")
    source = list_source(tmp_path)
    assert (source.kind, source.folder) == ("clip folder", tmp_path)
    assert [item.key for item in source.items] == [rows[0].key, rows[2].key]
    assert source.items[1] == Item(
        key=rows[2].key,
        file="clips/ab/c.mp4",
        version="f" * 64,
        label="rain",
        split="train",
        youtube_id=rows[2].youtube_id,
        start_s=2,
    )


def test_a_folder_of_films_of_any_name(tmp_path):
    for name in ("b/zebra.mp4", "a/glLQrEijrKg_000300.MKV", "notes.txt", ".hidden.mp4", "sound.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    source = list_source(tmp_path)
    assert [(item.key, item.file, item.version) for item in source.items] == [
        ("glLQrEijrKg_000300", "a/glLQrEijrKg_000300.MKV", "5"),
        ("zebra", "b/zebra.mp4", "5"),
    ]
    assert (source.items[0].youtube_id, source.items[0].start_s) == ("glLQrEijrKg", 300)
    (tmp_path / "zebra.avi").write_bytes(b"1")
    with pytest.raises(InputError, match='two clips have the key "zebra"'):
        list_source(tmp_path)


def test_tars_with_what_stands_beside_each_clip(tmp_path):
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        add_tar(tar, "z.json", b'{"label": "violin", "split": "test", "youtube_id": "abcdefghijk", "start_s": 7}')
        add_tar(tar, "z.mp4", b"zz")
        add_tar(tar, "y.webm", b"yyy")
        add_tar(tar, "y.txt", b"-")
        add_tar(tar, "y.json", b"[1]")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add_tar(tar, "sub/glLQrEijrKg_000300.mp4", b"x")
    source = list_source(tmp_path)
    assert source.kind == "tars"
    assert [item.key for item in source.items] == ["glLQrEijrKg_000300", "z", "y"]
    z = source.items[1]
    assert (z.label, z.split, z.youtube_id, z.start_s) == ("violin", "test", "abcdefghijk", 7)
    assert (tmp_path / z.file).read_bytes()[z.offset : z.offset + z.size] == b"zz"
    assert list_source(tmp_path / "b.tar").items == source.items[1:]


@pytest.mark.parametrize("name", ["../up.mp4", "/root.mp4", "a/../../b.mp4", "a\\b.mp4"])
def test_a_tar_that_climbs_out(tmp_path, name):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add_tar(tar, name, b"x")
    with pytest.raises(InputError, match="leads out of the folder"):
        list_source(tmp_path / "a.tar")


def test_tars_that_are_none(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("a.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(InputError, match="is a link or a device"):
        list_source(path)
    path.write_bytes(b"no tar" * 200)
    with pytest.raises(InputError, match="cannot be read as a plain tar"):
        list_source(path)
    with tarfile.open(path, "w") as tar:
        add_tar(tar, "a.json", b"{")
    with pytest.raises(InputError, match=r"a.json is not JSON"):
        list_source(path)


def test_sources_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no such source"):
        list_source(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no clip in this folder"):
        list_source(tmp_path)
    (tmp_path / "film.mp4").write_bytes(b"x")
    with pytest.raises(InputError, match="not a tar"):
        list_source(tmp_path / "film.mp4")


# one decode

VIDEOS = {
    **{f"{name} fps": {"rate": rate, "n_frames": 60} for name, rate in RATES.items()},
    "without B-frames": {"options": {"bf": "0"}, "n_frames": 60},
    "many B-frames": {"options": {"preset": "medium", "bf": "3", "g": "20"}, "n_frames": 120},
    "starts late": {"start": Fraction(38, 25)},
    "short": {"n_frames": 3},
    "odd size": {"images": [np.full((37, 53, 3), 9 * i, np.uint8) for i in range(20)], "pix_fmt": "yuv444p"},
    "turned": {"rotation": (90, False)},
    "HEVC": {"codec": "libx265", "n_frames": 60},
    "long": {"n_frames": 250, "rate": Fraction(10), "options": {"g": "50"}},
}


@pytest.mark.parametrize("about", VIDEOS.values(), ids=VIDEOS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_frames_are_those_of_read_frames(tmp_path, suffix, about):
    clip = write_video(tmp_path / f"clip{suffix}", tone_hz=440.0, **about)
    for spec in (ClipSpec(), ClipSpec(n_frames=4), head(16, 12.5)):
        expected = read_frames(clip, spec, short_side=32)
        for threads in (0, 1):
            found = read_clip(clip, spec, short_side=32, threads=threads)
            np.testing.assert_array_equal(found.images, expected.images)
            np.testing.assert_array_equal(found.mask, expected.mask)
        # from memory, as out of a tar
        with as_file(clip.read_bytes(), suffix=suffix) as path:
            np.testing.assert_array_equal(read_clip(path, spec, short_side=32).images, expected.images)


def test_the_sound_is_all_of_it_up_to_the_duration(tmp_path):
    clip = write_video(tmp_path / "clip.mp4", n_frames=75, tone_hz=440.0)
    found = read_clip(clip, ClipSpec(duration_s=10.0), short_side=32)
    assert found.sample_rate == 48_000
    assert len(found.sound) == pytest.approx(3 * 48_000, abs=2048)
    assert found.duration_s == pytest.approx(3.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(found.sound[:48_000]))
    assert spectrum.argmax() == 440
    assert np.abs(found.sound).max() == pytest.approx(0.4, abs=0.05)
    # cut to the clip spec; frames are looked at in the first half second only, the sound is heard on
    cut = read_clip(clip, replace(head(2, 8.0), duration_s=2.5), short_side=32)
    assert len(cut.sound) == 2.5 * 48_000
    np.testing.assert_array_equal(cut.sound, found.sound[: len(cut.sound)])


def test_the_sound_is_that_of_the_file_read_alone(tmp_path):
    rate, n = 44_100, 44_100
    wave = np.random.default_rng(0).integers(-9000, 9000, (n, 2)).astype(np.int16)
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=rate)
        sound.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(wave.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        container.mux(sound.encode(frame) + sound.encode(None))
        for i in range(25):
            image = av.VideoFrame.from_ndarray(np.full((48, 64, 3), i, np.uint8), format="rgb24")
            image.pts, image.time_base = i, Fraction(1, 25)
            container.mux(picture.encode(image))
        container.mux(picture.encode(None))
    import soundfile

    soundfile.write(tmp_path / "same.wav", wave, rate)
    expected, _ = read_audio(tmp_path / "same.wav")
    found = read_clip(path, ClipSpec(n_frames=4), short_side=32)
    np.testing.assert_allclose(found.sound, expected[0].numpy(), atol=1e-7)


@pytest.mark.parametrize(
    ("sample_format", "values", "expected"),
    [
        ("u8", np.array([[128, 192, 0, 128]], np.uint8), [0.25, -0.5]),
        ("s16", np.array([[0, 16384, -32768, 0]], np.int16), [0.25, -0.5]),
        ("s16p", np.array([[0, -32768], [16384, 0]], np.int16), [0.25, -0.5]),
        ("s32", np.array([[0, 2**30, -(2**31), 0]], np.int32), [0.25, -0.5]),
        ("fltp", np.array([[0, -1], [0.5, 0]], np.float32), [0.25, -0.5]),
        ("dbl", np.array([[0, 0.5, -1, 0]], np.float64), [0.25, -0.5]),
    ],
)
def test_mono_of_every_sample_format(sample_format, values, expected):
    frame = av.AudioFrame.from_ndarray(values, format=sample_format, layout="stereo")
    found = mixed(channels_of(frame), "mean")
    np.testing.assert_allclose(found, expected)
    assert found.dtype == np.float32


def test_a_sound_that_changes_its_rate():
    track = SoundTrack(1.0)
    for rate in (8000, 16_000):
        frame = av.AudioFrame.from_ndarray(np.full((1, rate // 4), 0.5, np.float32), format="fltp", layout="mono")
        frame.sample_rate = rate
        track.add(frame)
    assert track.rate == 8000
    assert len(track.samples()) == 4000
    assert not track.is_full


def test_clips_that_cannot_be_decoded(tmp_path, films):
    look = ClipSpec(n_frames=4)
    mute = films / f"{KEYS[4]}.mp4"
    with pytest.raises(AudioError, match="has no sound that can be decoded"):
        read_clip(mute, look, short_side=32)
    assert read_clip(mute, look, short_side=32, with_sound=False).sound.size == 0
    with pytest.raises(VideoError, match="not a video that can be read"):
        read_clip(films / f"{KEYS[2]}.mp4", look, short_side=32)
    whole = (films / f"{KEYS[0]}.mp4").read_bytes()
    cut = write_video(tmp_path / "whole.mkv", n_frames=100, tone_hz=300.0)
    (tmp_path / "cut.mkv").write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    found = read_clip(tmp_path / "cut.mkv", look, short_side=32)
    assert 0 < len(found.sound) < 4 * 48_000
    assert whole


def test_a_file_in_memory_where_the_system_has_none(monkeypatch):
    monkeypatch.delattr("os.memfd_create", raising=False)
    with as_file(b"abc", suffix=".mp4") as path:
        assert path.read_bytes() == b"abc"
    assert not path.exists()


# encoders


def test_encoders_alone(model, films):
    located = EncoderChoice(model=model).find()
    assert set(located.manifest.parts) == {"visual_encoder", "audio_encoder"}
    assert shape_of(located) == Shape(n_frames=4, visual_dim=1000, audio_dim=DIM)
    about = describe(located)
    written = {file.path: file.sha256 for file in read_manifest(model).parts["audio_encoder"].files}
    assert about["audio_encoder"].files == written
    clip = read_clip(films / f"{KEYS[0]}.mp4", located.manifest.clip, short_side=256)
    row = ClipEncoder(EncoderChoice(model=model, device="cpu"))(clip)
    assert (row.visual.shape, row.visual.dtype, row.audio.shape) == ((4, 1000), np.float16, (DIM,))
    np.testing.assert_allclose(row.visual.sum(axis=1), 1, atol=0.01)
    assert np.linalg.norm(row.audio) == pytest.approx(1, abs=1e-5)


def test_clip_and_clap_alone(tmp_path, films):
    write_tiny_clip_clap(tmp_path / "tiny")
    located = EncoderChoice(model=tmp_path / "tiny").find()
    side = short_side_of(located.folders["visual_encoder"])
    clip = read_clip(films / f"{KEYS[0]}.mp4", located.manifest.clip, short_side=side)
    encode = ClipEncoder(EncoderChoice(model=tmp_path / "tiny", device="cpu"))
    assert encode.visual.short_side == side
    row, shape = encode(clip), shape_of(located)
    assert (row.visual.shape, row.audio.shape) == ((shape.n_frames, shape.visual_dim), (shape.audio_dim,))


def test_audioldms_clap_hears_what_its_conditions_were_made_of(tmp_path, films):
    """AudioLDM was conditioned on 16-kHz sounds: a target from 48 kHz must not hold what lies above 8 kHz."""
    write_tiny_clip_clap(tmp_path / "tiny")
    choice = EncoderChoice(model=tmp_path / "tiny", device="cpu")
    assert choice.sound_rate() == 16_000
    encode, time = ClipEncoder(choice), np.arange(48_000) / 48_000
    low = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    # it begins and ends gently: a tone that is switched on is heard below 8 kHz too
    high = (0.3 * np.hanning(len(time)) * np.sin(2 * np.pi * 14_000 * time)).astype(np.float32)
    clip = read_clip(films / f"{KEYS[0]}.mp4", ClipSpec(n_frames=4), short_side=32)
    rows = [encode(replace(clip, sound=sound, sample_rate=48_000)).audio for sound in (low, low + high)]
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-3)
    assert encode.audio is not None
    whole = [encode.audio(torch.from_numpy(sound)[None], 48_000)[0].numpy() for sound in (low, low + high)]
    assert np.abs(whole[0] - whole[1]).max() > 1e-2  # as it is, it would be heard
    run(films, tmp_path / "set", tmp_path / "tiny")
    assert json.loads((tmp_path / "set" / "manifest.json").read_text())["sound_rate"] == 16_000


def test_a_model_is_found_from_another_folder(tmp_path, monkeypatch):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "mini").mkdir()
    monkeypatch.chdir(tmp_path)
    assert from_anywhere("tiny") == from_anywhere(Path("tiny")) == (tmp_path / "tiny").resolve()
    assert (from_anywhere("mini"), from_anywhere("org/name")) == ("mini", "org/name")


def test_a_bundle_that_was_altered_or_names_no_space(tmp_path):
    write_tiny_mini(tmp_path / "tiny")
    manifest = read_manifest(tmp_path / "tiny")
    nameless = replace(manifest.parts["visual_encoder"], gives=None)
    write_manifest(tmp_path / "tiny", replace(manifest, parts=manifest.parts | {"visual_encoder": nameless}))
    with pytest.raises(BundleError, match="gives no named space"):
        EncoderChoice(model=tmp_path / "tiny").find()
    (tmp_path / "tiny" / "visual_encoder" / "config.json").write_text("{}")
    with pytest.raises(BundleError, match="expected"):
        EncoderChoice(model=tmp_path / "tiny").find()


def test_a_row_of_each_stage(model, films, tmp_path):
    look = DecodeOptions(spec=ClipSpec(n_frames=4), short_side=32, with_sound=True)
    row = {"n": 7, "path": str(tmp_path / "gone.mp4"), "offset": -1, "size": 0}
    gone = decode_row(row, look)
    assert (gone["n"], gone["stage"], gone["reason"][:12]) == (7, "read", "no such file")
    bad = decode_row(row | {"path": str(films / f"{KEYS[2]}.mp4")}, look)
    assert (bad["stage"], bad["reason"][:9]) == ("decode", "not a vid")
    tar = write_tar(tmp_path / "a.tar", films, KEYS[:1])
    cut = decode_row(row | {"path": str(tar), "offset": 512, "size": 10**8}, look)
    assert (cut["stage"], cut["reason"][:21]) == ("read", "ends within this clip")
    encode = RowEncoder(EncoderChoice(model=model, device="cpu"))
    assert encode(bad)["reason"] == bad["reason"]
    good = decode_row(row | {"path": str(films / f"{KEYS[0]}.mp4")}, look)
    silent = np.full(100, np.nan, np.float32)
    assert encode(good | {"sound": silent.tobytes()})["stage"] == "encode"
    assert encode(good)["stage"] == ""


# the set on the disk

SHAPE = Shape(n_frames=2, visual_dim=3, audio_dim=4)


def items_of(n: int) -> list[Item]:
    return [Item(key=f"k{i:03d}", file=f"k{i:03d}.mp4", label="rain", start_s=i) for i in range(n)]


def row_of(n: int) -> Row:
    numbers = np.random.default_rng(n).standard_normal((2, 3)).astype(np.float16)
    audio = np.arange(4, dtype=np.float32) + n
    return Row(visual=numbers, mask=np.array([True, n % 2 == 0]), audio=audio, duration_s=float(n))


def test_a_shard_comes_back_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_set, "GROUP", 3)
    (shard,) = plan_shards(tmp_path, items_of(8), 100)
    assert read_failures(shard) is None
    lost = Failure(key="k003", stage="decode", reason='cut "off"\n at é')
    results = [lost if n == 3 else row_of(n) for n in range(8)]
    assert write_shard(shard, results, SHAPE) == [lost]
    assert read_failures(shard) == [lost]
    back = dict(read_rows(shard))
    assert list(back) == [f"k{n:03d}" for n in range(8) if n != 3]
    for n in (0, 4, 7):
        for name in ("visual", "mask", "audio", "duration_s"):
            np.testing.assert_array_equal(getattr(back[f"k{n:03d}"], name), getattr(row_of(n), name))
    first = shard.path.read_bytes()
    write_shard(shard, results, SHAPE)
    assert shard.path.read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["shard-00000.parquet"]


def test_shards_without_rows_or_sound(tmp_path):
    one, two = plan_shards(tmp_path, items_of(4), 2)
    lost = [Failure(key=item.key, stage="read", reason="gone") for item in one.items]
    write_shard(one, lost, SHAPE)
    assert read_failures(one) == lost
    assert list(read_rows(one)) == []
    mute = [
        Row(visual=row_of(n).visual, mask=row_of(n).mask, audio=np.zeros(0, np.float32), duration_s=1) for n in (0, 1)
    ]
    write_shard(two, mute, Shape(n_frames=2, visual_dim=3, audio_dim=0))
    assert [row.audio.size for _, row in read_rows(two)] == [0, 0]


def test_a_shard_of_another_plan_counts_as_missing(tmp_path):
    (shard,) = plan_shards(tmp_path, items_of(2), 5)
    write_shard(shard, [row_of(0), row_of(1)], SHAPE)
    other = replace(shard, items=(shard.items[0], replace(shard.items[1], version="2")))
    assert read_failures(other) is None
    shard.path.write_bytes(b"PAR1 damaged")
    assert read_failures(shard) is None


def test_a_shard_that_breaks_off_is_not_there(tmp_path):
    (shard,) = plan_shards(tmp_path, items_of(2), 5)

    def results():
        yield row_of(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(shard, results(), SHAPE)
    assert list(tmp_path.iterdir()) == []


def test_shards_in_datasets_and_ray(tmp_path):
    import datasets

    for n, shard in enumerate(plan_shards(tmp_path, items_of(4), 2)):
        write_shard(shard, [row_of(2 * n), row_of(2 * n + 1)], SHAPE)
    files = str(tmp_path / "*.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["key"][:] == ["k000", "k001", "k002", "k003"]
    batch = loaded.with_format("numpy")[:]
    np.testing.assert_array_equal(batch["visual"], [row_of(n).visual for n in range(4)])
    np.testing.assert_array_equal(batch["audio"], [row_of(n).audio for n in range(4)])


# the whole


def test_extract(model, films, tmp_path):
    told: list[tuple[int, int, str]] = []
    out = tmp_path / "set"
    result = run(films, out, model, progress=lambda *line: told.append(line))
    assert result == ExtractResult(
        out=out, n_clips=6, n_done=4, n_failed=2, n_new=4, failed_by_stage={"decode": 2}, max_failed=0.05
    )
    assert result.too_many_failed
    assert not replace(result, max_failed=0.4).too_many_failed
    assert [n for n, _, _ in told] == [1, 2, 3, 4, 5, 6]
    assert told[0][1:] == (6, f"{KEYS[0]}: done")
    assert told[2][2].startswith(f"{KEYS[2]}: decode: not a video")
    assert sorted(bytes_of(out)) == [
        "failures.jsonl",
        "manifest.json",
        *(f"shard-{n:05d}.parquet" for n in range(3)),
    ]
    about = json.loads((out / "manifest.json").read_text())
    assert about["counts"] | {"failed_by_reason": {}} == {
        "done": 4,
        "failed": 2,
        "left": 0,
        "failed_by_stage": {"decode": 2},
        "failed_by_reason": {},
    }
    assert sum(about["counts"]["failed_by_reason"].values()) == 2
    assert about["clip"]["n_frames"] == 4
    assert "sound_rate" not in about  # mini hears sounds as they are
    assert about["encoders"]["visual_encoder"]["dim"] == 1000
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert [failure["key"] for failure in failures] == [KEYS[2], KEYS[4]]
    # nothing is left to do, and nothing changes
    before = bytes_of(out)
    again = run(films, out, model)
    assert (again.n_new, again.n_done, bytes_of(out)) == (0, 4, before)


def test_the_embeddings_are_those_of_the_encoders(model, films, tmp_path):
    run(films, tmp_path / "set", model, shard_clips=100)
    (shard,) = plan_shards(tmp_path / "set", list_source(films).items, 100)
    rows = dict(read_rows(shard))
    encode = ClipEncoder(EncoderChoice(model=model, device="cpu"))
    frames = read_frames(films / f"{KEYS[5]}.mp4", ClipSpec(n_frames=4), short_side=encode.visual.short_side)
    np.testing.assert_array_equal(rows[KEYS[5]].visual, encode.visual(frames.images).numpy().astype(np.float16))
    np.testing.assert_array_equal(rows[KEYS[5]].mask, frames.mask)


def test_tars_give_the_same_embeddings(model, films, tmp_path):
    (tmp_path / "tars").mkdir()
    write_tar(tmp_path / "tars" / "0.tar", films, KEYS[:3])
    write_tar(tmp_path / "tars" / "1.tar", films, KEYS[3:])
    for source, out in ((films, "one"), (tmp_path / "tars", "two")):
        run(source, tmp_path / out, model, shard_clips=100)
    sets = [
        dict(read_rows(plan_shards(tmp_path / out, list_source(source).items, 100)[0]))
        for source, out in ((films, "one"), (tmp_path / "tars", "two"))
    ]
    assert list(sets[0]) == list(sets[1]) == [KEYS[n] for n in (0, 1, 3, 5)]
    for key in sets[0]:
        np.testing.assert_array_equal(sets[0][key].visual, sets[1][key].visual)
        np.testing.assert_array_equal(sets[0][key].audio, sets[1][key].audio)


def test_a_run_that_was_broken_off_ends_with_the_same_bytes(model, films, tmp_path, monkeypatch):
    run(films, tmp_path / "whole", model)
    out = tmp_path / "broken"
    for n in (1, 3, 2):  # after so many clips

        def stop(i: int, _total: int, _what: str, n: int = n) -> None:
            if i == n:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(films, out, model, progress=stop)
        left = json.loads((out / "manifest.json").read_text())["counts"]["left"]
        assert left % 2 == 0
    (out / ".shard-00009.0123abcd.tmp.parquet").write_bytes(b"left by a kill")
    run(films, out, model)
    assert bytes_of(out) == bytes_of(tmp_path / "whole")
    # a shard that went away is made again
    (out / "shard-00001.parquet").unlink()
    assert run(films, out, model).n_new == 1
    assert bytes_of(out) == bytes_of(tmp_path / "whole")


def test_failures_are_tried_again(model, films, tmp_path, monkeypatch):
    run(films, tmp_path / "whole", model)
    real, out = extracting.run_plain, tmp_path / "set"

    def flaky(rows, steps):
        for row in real(rows, steps):
            lost = {"stage": "read", "reason": "disk gone"} if row["n"] in (1, 2) else {}
            yield row | lost

    monkeypatch.setattr(extracting, "run_plain", flaky)
    assert run(films, out, model).failed_by_stage == {"read": 2, "decode": 1}
    monkeypatch.setattr(extracting, "run_plain", real)
    assert run(films, out, model).n_failed == 3
    before = (out / "shard-00002.parquet").stat().st_mtime_ns
    assert run(films, out, model, retry=["read"]).failed_by_stage == {"decode": 2}
    assert bytes_of(out) == bytes_of(tmp_path / "whole")
    assert (out / "shard-00002.parquet").stat().st_mtime_ns == before
    assert run(films, out, model, retry=["decode", "encode"]).n_new == 0
    assert bytes_of(out) == bytes_of(tmp_path / "whole")


def test_a_clip_whose_process_died(model, films, tmp_path, monkeypatch):
    real = extracting.run_plain
    monkeypatch.setattr(extracting, "run_plain", lambda *a: (row for row in real(*a) if row["n"] not in (0, 5)))
    assert run(films, tmp_path, model).failed_by_stage == {"decode": 4}
    assert (tmp_path / "failures.jsonl").read_text().count("died each time") == 2


def test_waves_change_nothing(model, films, tmp_path, monkeypatch):
    run(films, tmp_path / "one", model)
    monkeypatch.setattr(extracting, "WAVE", 3)
    assert run(films, tmp_path / "two", model).n_new == 4
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_another_model_or_list_is_refused(model, films, tmp_path):
    out = tmp_path / "set"
    run(films, out, model)
    before = bytes_of(out)
    write_tiny_mini(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match=r'its embeddings have encoders .*visual_encoder.* this run has .*"files"'):
        run(films, out, tmp_path / "other")
    with pytest.raises(InputError, match=r"its embeddings have shard_clips 2, this run has 3"):
        run(films, out, model, shard_clips=3)
    with pytest.raises(
        InputError, match=r'have numbers \{"computed": "float32"\}, this run has \{"computed": "bfloat16'
    ):
        run(films, out, model, dtype="bfloat16")
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    (fewer / f"{KEYS[0]}.mp4").write_bytes((films / f"{KEYS[0]}.mp4").read_bytes())
    with pytest.raises(InputError, match=r'its embeddings have source .*"clips": 6.* this run has .*"clips": 1'):
        run(fewer, out, model)
    assert bytes_of(out) == before
    (out / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="not a manifest of embeddings"):
        run(films, out, model)


def test_arguments_that_cannot_be(model, films, tmp_path):
    with pytest.raises(InputError, match='retry "network" is not a stage of extract'):
        run(films, tmp_path, model, retry=["network"])
    with pytest.raises(InputError, match="expected 1 or more decoders"):
        extract(films, tmp_path, model=model, workers=-1)
    with pytest.raises(InputError, match="max failed 5; expected a share of the clips, 0 to 1"):
        run(films, tmp_path, model, max_failed=5)
    with pytest.raises(InputError, match="shard clips 0; expected 1 or more"):
        run(films, tmp_path, model, shard_clips=0)
    with exclusive_lock(tmp_path, "somebody else"), pytest.raises(EchoFrameError, match="in use by somebody else"):
        run(films, tmp_path, model)


def test_a_folder_that_cannot_be_written_to(model, films, tmp_path):
    from echoframe.data.embedding_set import remove_partials

    (tmp_path / "shut").mkdir(mode=0o555)
    with as_nobody(tmp_path), pytest.raises(OutputError, match="cannot be written to"):
        remove_partials(Path("shut/set"))


def test_the_plan_does_not_know_where_the_source_lies(tmp_path):
    items = tuple(items_of(3))
    one, two = (Source(kind="folder", folder=tmp_path / name, items=items) for name in "ab")
    assert one.plan == two.plan
    assert replace(one, items=items[:2]).plan != one.plan


def test_torch_is_left_as_it_is(model, films, tmp_path):
    threads = torch.get_num_threads()
    run(films, tmp_path, model)
    assert torch.get_num_threads() == threads
