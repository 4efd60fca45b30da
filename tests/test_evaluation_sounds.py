"""Folders of sounds: found, paired, and taken as a protocol hears them."""

import logging
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from echoframe.bundles.labels import vggsound_labels
from echoframe.data.decode import GAP_S, read_clip
from echoframe.errors import AudioError, InputError
from echoframe.evaluation.known_lists import name_of_list
from echoframe.evaluation.sounds import Listening, find_films, find_sounds, listen, pair, read_clips, unpaired
from echoframe.spec import ClipSpec
from planted_video import write_film, write_video

RATE = 16_000


def write(path, samples, rate=RATE, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **how)
    return path


def tone(seconds=1.0, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


def folders(tmp_path, **names):
    for folder, stems in names.items():
        for stem in stems:
            write(tmp_path / folder / f"{stem}.wav", tone())
    return {folder: tmp_path / folder for folder in names}


def test_pairs_are_found_by_stem_and_what_lacks_or_is_too_much_is_listed(tmp_path):
    found = pair(folders(tmp_path, reference="abc", one="bcd", two="abcd"))
    assert found.stems == ("b", "c")
    assert found.missing == {"reference": ("d",), "one": ("a",)}
    assert not found.extra
    found = pair(folders(tmp_path, reference="abc", one="bcd", two="abcd"), wanted=["c", "b", "e"])
    assert found.stems == ("b", "c")
    assert found.missing == dict.fromkeys(("reference", "one", "two"), ("e",))
    assert found.extra == {"reference": ("a",), "one": ("d",), "two": ("a", "d")}


def test_the_sounds_of_several_seeds_belong_to_their_clip(tmp_path):
    ours = ["cat", "cat.s2", "cat.s10", "dog.s0", "dog.s1", "dog.x1", "bird.s3", "bird.s4"]
    given = folders(tmp_path, reference=["cat", "dog", "dog.s1", "cow.s0"], ours=ours)
    (given["reference"] / "cow.s0.wav").rename(given["reference"] / "cow.wav")
    found = pair(given, sampled=["ours"])
    assert found.stems == ("cat", "dog", "dog.s1")
    ours = {"cat": ("cat", "cat.s2", "cat.s10"), "dog": ("dog.s0",), "bird": ("bird.s3", "bird.s4")}
    assert found.samples == {"ours": ours}
    assert [found.sounds_of("ours", clip) for clip in ("dog.s1", "cat")] == [("dog.s1",), ("cat", "cat.s2", "cat.s10")]
    assert found.exact == {"ours": ("dog.s1",)}  # the one name that could mean two clips
    assert found.missing == {"reference": ("bird", "dog.x1"), "ours": ("cow",)}
    found = pair(given, wanted=["cat", "dog"], sampled=["ours"])
    assert found.samples["ours"] == ours | {"dog": ("dog.s0", "dog.s1")}
    assert (found.exact, found.extra["ours"]) == ({}, ("bird.s3", "bird.s4", "dog.x1"))


def test_a_film_beside_its_sound_does_not_count_twice(tmp_path):
    write(tmp_path / "a.wav", tone())
    write_video(tmp_path / "a.mp4", n_frames=5)
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / ".b.wav").write_bytes(b"")
    assert find_sounds(tmp_path) == {"a": tmp_path / "a.wav"}
    assert find_films(tmp_path) == {"a": tmp_path / "a.mp4"}
    (tmp_path / "a.m4a").write_bytes(b"a sound too")
    with pytest.raises(InputError, match="a.wav: a.m4a has the same stem; keep one"):
        find_sounds(tmp_path)
    write(tmp_path / "b" / "a.wav", tone())
    found = pair({"sounds": tmp_path / "b", "video": tmp_path}, films=["video"])
    assert found.files == {"sounds": {"a": tmp_path / "b" / "a.wav"}, "video": {"a": tmp_path / "a.mp4"}}
    (tmp_path / "a.mkv").write_bytes(b"-")
    with pytest.raises(InputError, match="a.mp4: a.mkv has the same stem; keep one"):
        find_films(tmp_path)
    with pytest.raises(InputError, match="b: there is no video in it; expected files ending in .mp4, .mov"):
        find_films(tmp_path / "b")


def test_folders_that_cannot_be_paired(tmp_path):
    with pytest.raises(InputError, match="no such folder; give a folder of sound files or videos"):
        find_sounds(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no sound in it; expected files ending in .wav"):
        find_sounds(tmp_path / "empty")
    both = folders(tmp_path, reference="ab", one="cd")
    with pytest.raises(InputError, match=r"in every folder \(.*reference has 2, as a, .*one has 2, as c\)"):
        pair(both)
    with pytest.raises(InputError, match="no file name is in every folder among the 1 wanted"):
        pair(folders(tmp_path, reference="ab", one="ab"), wanted=["x"])


def test_what_is_passed_over_is_listed(tmp_path):
    given = folders(tmp_path, reference="ab", one="ab")
    (given["one"] / "c.wav").symlink_to(tmp_path / "none.wav")
    (given["one"] / "d.wav").mkdir()
    (given["one"] / "a.mp4").mkdir()
    for name in ("x.aac", "b.mp4", "b.json", "README.md", ".hidden.aac", "evaluation.html"):
        (given["one"] / name).write_bytes(b"-")
    (given["one"] / "odd\udcff.aac").write_bytes(b"-")
    assert pair(given).unused == {"one": ("a.mp4", "c.wav", "d.wav", "odd\\udcff.aac", "x.aac")}
    assert unpaired(given).unused == pair(given).unused
    (given["one"] / "c.mp4").write_bytes(b"-")
    films = pair({"reference": given["one"], "video": given["one"]}, films=["video"])
    assert films.unused["video"] == ("a.mp4", "a.wav", "c.wav", "d.wav", "odd\\udcff.aac", "x.aac")


def test_a_name_that_is_no_text_is_refused_at_once(tmp_path):
    given = folders(tmp_path, reference="a", one="ab")
    (given["one"] / "\udcff.wav").write_bytes(b"-")
    with pytest.raises(InputError, match=r"one/\\udcff.wav': is not UTF-8, expected a name that is text; rename it"):
        pair(given)


@pytest.mark.parametrize(
    ("subtype", "channels", "rate"),
    [("PCM_16", 1, 8000), ("PCM_24", 2, 44_100), ("FLOAT", 6, 96_000), ("DOUBLE", 1, 48_000)],
)
def test_any_format_rate_and_channels_are_heard_alike(tmp_path, subtype, channels, rate):
    samples = np.repeat(tone(rate=rate)[:, None], channels, axis=1)
    found = listen(write(tmp_path / "a.wav", samples, rate, subtype=subtype), Listening())
    assert found.sample_rate == rate
    assert found.waveform.shape == (1, rate)
    np.testing.assert_allclose(found.waveform[0].numpy(), tone(rate=rate), atol=1e-4)
    assert not found.is_cut
    assert not found.is_silent


def test_channels_mean_and_length_are_as_the_protocol_says(tmp_path):
    path = write(
        tmp_path / "a.wav", np.stack([np.full(3 * RATE, 0.5), np.full(3 * RATE, 0.1)], axis=1), subtype="FLOAT"
    )
    assert listen(path, Listening()).waveform.mean() == pytest.approx(0.3)
    assert listen(path, Listening(channels="first")).waveform.mean() == pytest.approx(0.5)
    centred = listen(path, Listening(centred=True, clip_s=2))
    assert centred.waveform.shape == (1, 2 * RATE)
    assert centred.is_cut
    assert centred.is_silent  # nothing is left of a constant


def test_three_hours_are_heard_for_ten_seconds(tmp_path):
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 8000, 1, subtype="PCM_U8") as file:
        for _ in range(180):
            file.write(np.zeros(60 * 8000))
    found = listen(path, Listening())
    assert found.waveform.shape == (1, 80_000)
    assert found.is_cut


def test_a_film_is_heard_too(tmp_path):
    write_video(tmp_path / "a.mp4", n_frames=50, tone_hz=440.0)
    found = listen(tmp_path / "a.mp4", Listening(clip_s=1))
    assert found.waveform.shape == (1, found.sample_rate)
    assert found.is_cut
    assert not found.is_silent
    write_video(tmp_path / "mute.mp4", n_frames=5)
    with pytest.raises(AudioError, match=re.escape("mute.mp4: has no sound (only video); leave it out")):
        listen(tmp_path / "mute.mp4", Listening())


def noise(seconds, channels=1, seed=0):
    """(C, S), and as 16 bits keep it."""
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (channels, round(seconds * RATE)))
    return np.rint(samples * 32767) / 32768


def heard(path, **listening):
    found = listen(path, Listening(**listening))
    assert found.sample_rate == RATE
    return found.waveform[0].double().numpy()


@pytest.mark.parametrize("start", [Fraction(0), Fraction(38, 25)], ids=["at 0", "late film"])
@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        (Fraction(1936, 1000), lambda sound: np.concatenate([np.zeros(30_976), sound])),
        (Fraction(5, 1000), lambda sound: np.concatenate([np.zeros(80), sound])),
        (Fraction(-1, 2), lambda sound: sound[8000:]),
    ],
    ids=["begins late", "begins 5 ms late", "begins early"],
)
def test_a_film_s_sound_stands_where_it_is_played(tmp_path, start, begin, expected):
    start, sound = start + (1 if begin < 0 else 0), noise(1.5)
    path = write_film(tmp_path / "a.mkv", {start + begin: sound}, start=start)
    np.testing.assert_allclose(heard(path), expected(sound[0]), atol=1e-4)
    clip = read_clip(path, ClipSpec(n_frames=4), short_side=32)  # and so do the embeddings of training
    np.testing.assert_array_equal(clip.sound, listen(path, Listening()).waveform[0].numpy())


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_coded_sound_that_begins_late_does(tmp_path, suffix):
    tones = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)[None]
    codec = {".mp4": "aac", ".mov": "pcm_s16le", ".mkv": "libmp3lame"}[suffix]
    samples = heard(write_film(tmp_path / f"a{suffix}", {Fraction(1, 2): 0.5 * tones}, codec=codec))
    onset = np.flatnonzero(np.abs(samples) > 0.1)[0] / RATE
    assert onset == pytest.approx(0.5, abs=0.005)


def test_gaps_are_silent_and_what_is_there_twice_is_cut(tmp_path):
    one, two = noise(0.5, seed=1), noise(0.5, seed=2)
    gap = write_film(tmp_path / "gap.mkv", {Fraction(0): one, Fraction(1): two})
    np.testing.assert_allclose(heard(gap), np.concatenate([one[0], np.zeros(8000), two[0]]), atol=1e-4)
    twice = write_film(tmp_path / "twice.mkv", {Fraction(0): one, Fraction(9, 20): two})
    np.testing.assert_allclose(heard(twice), np.concatenate([one[0], two[0, 800:]]), atol=1e-4)
    jitter = Fraction(1, 2) + Fraction(GAP_S) * 9 / 10
    nearly = write_film(tmp_path / "nearly.mkv", {Fraction(0): one, jitter: two})
    np.testing.assert_allclose(heard(nearly), np.concatenate([one[0], two[0]]), atol=1e-4)
    days = write_film(tmp_path / "days.mkv", {Fraction(0): one, Fraction(200_000): two})
    found = listen(days, Listening(clip_s=2))
    assert found.waveform.shape == (1, 2 * RATE)
    assert found.is_cut


def test_the_first_channel_of_a_film_is_heard_alone(tmp_path):
    sound = noise(1, channels=2)
    path = write_film(tmp_path / "a.mkv", {Fraction(0): sound})
    np.testing.assert_allclose(heard(path, channels="first"), sound[0], atol=1e-4)
    np.testing.assert_allclose(heard(path), sound.mean(axis=0), atol=1e-4)


def test_more_sound_than_is_heard_is_not_more_picture(tmp_path):
    path = write_film(tmp_path / "a.mp4", {Fraction(0): noise(1)}, codec="aac", n_frames=75)
    found = listen(path, Listening(clip_s=2))
    assert not found.is_cut
    assert found.duration_s == pytest.approx(1, abs=0.07)
    assert listen(path, Listening(clip_s=0.5)).is_cut
    assert not listen(path, Listening(clip_s=0.95)).is_cut  # what a codec adds is no more


@pytest.mark.parametrize("name", ["a.m4a", "a.mp3"])
def test_sounds_that_libav_reads(tmp_path, name):
    sound = noise(1)
    if name == "a.m4a":
        write_film(tmp_path / name, {Fraction(0): sound}, codec="aac", n_frames=0)
    else:
        write(tmp_path / name, sound[0])
    assert find_sounds(tmp_path) == {"a": tmp_path / name}
    found = listen(tmp_path / name, Listening())
    assert found.duration_s == pytest.approx(1, abs=0.07)
    assert abs(np.corrcoef(found.waveform[0, :RATE].numpy(), sound[0, : found.waveform.shape[1]])[0, 1]) > 0.5


def damage(path, from_s, to_s):
    """Writes noise over the packets of sound between these seconds."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.audio[0]):
            if packet.pts is not None and from_s <= packet.pts * packet.time_base < to_s:
                assert packet.pos is not None
                data[packet.pos : packet.pos + packet.size] = np.random.default_rng(packet.pts).bytes(packet.size)
    path.write_bytes(data)
    return path


def test_a_film_whose_sound_is_broken_is_refused(tmp_path, caplog, capfd):
    path = write_film(tmp_path / "a.mp4", {Fraction(0): noise(3)}, codec="aac", n_frames=75)
    whole = heard(path)
    damage(path, 1.5, 2.5)
    with pytest.raises(
        AudioError, match=r"a.mp4: its sound is broken at 1.5 s \(invalid data.*\); take the file from a"
    ):
        listen(path, Listening())
    np.testing.assert_array_equal(heard(path, clip_s=1), whole[:RATE])  # what is not heard may be broken
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    # training takes what there is, in its place, and says so once
    with caplog.at_level(logging.WARNING):
        clip = read_clip(path, ClipSpec(n_frames=4), short_side=32)
    assert len(clip.sound) == len(whole)
    assert not clip.sound[round(1.8 * RATE) : round(2.3 * RATE)].any()
    np.testing.assert_allclose(clip.sound[round(2.8 * RATE) :], whole[round(2.8 * RATE) :], atol=1e-3)
    (record,) = caplog.records
    assert re.search(r"a.mp4: 1\d broken packets of sound, the first at 1.5 s \(invalid", record.getMessage())


@pytest.mark.parametrize(
    ("name", "codec", "message"),
    [
        ("a.mkv", "pcm_s16le", r"breaks off at [12]\.\d s of 3.0 s; take the file from a copy"),
        ("a.mp4", "aac", r"(is broken at [12]\.\d s \(a packet is cut\)|breaks off at [12]\.\d s of 3.0 s); take the"),
    ],
)
def test_a_film_that_is_cut_off_is_refused(tmp_path, name, codec, message):
    path = write_film(tmp_path / f"whole-{name}", {Fraction(0): noise(3)}, codec=codec, n_frames=75)
    if name == "a.mp4":  # with its index in front
        with (
            av.open(str(path)) as source,
            av.open(str(tmp_path / name), "w", container_options={"movflags": "+faststart"}) as target,
        ):
            copies = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
            for packet in source.demux():
                if packet.size:
                    packet.stream = copies[packet.stream_index]
                    target.mux(packet)
        path = tmp_path / name
    data = path.read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(AudioError, match=f"{name}: its sound {message}"):
        listen(tmp_path / name, Listening())
    assert len(heard(tmp_path / name, clip_s=0.5)) == RATE // 2


def test_an_ogg_that_is_broken_is_refused(tmp_path):
    path = write(tmp_path / "a.ogg", noise(10)[0])
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    path.write_bytes(data)
    with pytest.raises(
        AudioError, match=r"a.ogg: its sound breaks off at [2-7]\.\d s of 10.0 s; take the file from a copy"
    ):
        listen(path, Listening())


def test_a_codec_that_is_not_known_is_named(tmp_path):
    path = write_film(tmp_path / "a.mov", {Fraction(0): noise(1)})
    data = path.read_bytes()
    assert data.count(b"sowt") == 1
    path.write_bytes(data.replace(b"sowt", b"zzzz"))
    with pytest.raises(AudioError, match="a.mov: the codec of its sound is not known here; convert it to AAC or WAV"):
        listen(path, Listening())


@pytest.mark.parametrize("suffix", [".wav", ".mp4", ".mp3"])
def test_what_is_no_sound_is_named(tmp_path, suffix, capfd):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"not a sound at all" * 100)
    with pytest.raises(
        AudioError,
        match=r"a\.(wav: cannot be read as a sound|mp[34]: not a (sound|video) that can be read) \((?!.*not exist)",
    ):
        listen(path, Listening())
    assert capfd.readouterr() == ("", "")


def test_empty_and_broken_samples_are_named(tmp_path):
    with pytest.raises(AudioError, match="empty.wav: holds no samples; give a sound that is not empty"):
        listen(write(tmp_path / "empty.wav", np.zeros(0)), Listening())
    samples = tone()
    samples[7] = np.nan
    with pytest.raises(AudioError, match="nan.wav: holds NaN or infinite samples"):
        listen(write(tmp_path / "nan.wav", samples, subtype="FLOAT"), Listening())


def test_a_list_of_clips_gives_names_and_labels(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text('name,label\na.mp4,"dog, barking"\nb.c,\n')
    assert read_clips(path) == {"a": "dog, barking", "b.c": ""}
    (tmp_path / "list.tsv").write_text("x\ty\n")
    assert read_clips(tmp_path / "list.tsv") == {"x": "y"}
    path.write_text("id\n")
    with pytest.raises(InputError, match="lists no clip; expected rows of NAME,label"):
        read_clips(path)
    with pytest.raises(InputError, match="cannot be read .*; give a CSV file with rows"):
        read_clips(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("video,dog\na,cat\n", {"video": "dog", "a": "cat"}),
        ("name\na\n", {"a": ""}),
        ("Video,Category\na,cat\n", {"a": "cat"}),
        ("id,label,split\na,cat,test\n\n , ,\nb\n", {"a": "cat", "b": ""}),
        ("a.mp4,dog\na.wav,dog\n", {"a": "dog"}),
        ('a,"two\nlines"\n', {"a": "two\nlines"}),
    ],
)
def test_a_first_clip_is_no_head_and_the_same_twice_is_one(tmp_path, text, expected):
    (tmp_path / "list.csv").write_text(text)
    assert read_clips(tmp_path / "list.csv") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,dog\nb,cat\na.wav,cat\n", 'line 3: a is "cat", but "dog" further up; keep one of the two labels'),
        ("c01,dog, small\n", r"line 1: 3 columns \(c01, dog, small\), expected NAME,label; put a label .* in quotes"),
        ("name,label\nc01,dog, small\n", r"line 2: 3 columns \(c01, dog, small\)"),
        ("a,dog\n\n,cat\n", r"line 3: no name before its label \(cat\); expected NAME,label"),
        ('a,dog\nb,"cat\nc,cow\n', r"line 2: not a row of a list \(unexpected end of data\); look at its quotes"),
        (f"a,dog\nb,{'x' * 200_000}\n", r"line 2: not a row of a list \(field larger than field limit .*\); look at"),
    ],
)
def test_a_list_that_cannot_be_meant(tmp_path, text, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=f"list.csv, {message}"):
        read_clips(tmp_path / "list.csv")


@pytest.mark.parametrize(("name", "n_clips"), [("test.csv", 15_446), ("vgg-test.tsv", None)])
def test_the_lists_of_vggsound_are_read(name, n_clips):
    shared = Path(__file__).parents[2] / "shared" / "vggsound" / name
    if not shared.is_file():
        pytest.skip("the official list is not here")
    found = read_clips(shared)
    assert len(found) == (n_clips or len(shared.read_text().splitlines()) - 1)
    assert all(found.values())
    assert set(found.values()) <= {label for label, _ in vggsound_labels()}


def test_a_list_that_papers_use_is_known_by_what_it_holds():
    shared = Path(__file__).parents[2] / "shared" / "vggsound" / "test.csv"
    if not shared.is_file():
        pytest.skip("the official list is not here")
    names = [line.split(",")[0].removesuffix(".mp4") for line in shared.read_text().splitlines()]
    assert name_of_list(names) == "all 15,446 clips of VGGSound's official test list"
    assert "no list known by name" in name_of_list(names[1:])


@pytest.mark.parametrize("suffix", [".wav", ".mp4"])
def test_opposite_channels_cancel_and_silence_does_not(tmp_path, suffix):
    """The mean of a sound and its opposite is nothing, and of an encoded pair next to nothing; each channel is heard."""
    opposite = np.stack([tone(), -tone()])
    path = tmp_path / f"opposite{suffix}"
    if suffix == ".wav":
        write(path, opposite.T)
    else:
        write_film(path, {Fraction(0): opposite}, codec="aac", n_frames=25)
    found = listen(path, Listening())
    assert (found.cancels, found.is_silent) == (True, False)
    assert not listen(path, Listening(channels="first")).cancels
    quiet = listen(write(tmp_path / "quiet.wav", np.zeros((RATE, 2))), Listening())
    assert (quiet.cancels, quiet.is_silent) == (False, True)


def test_a_tenth_of_a_second_more_is_not_longer(tmp_path):
    assert not listen(write(tmp_path / "a.wav", tone(1.09)), Listening(clip_s=1)).is_cut
    assert listen(write(tmp_path / "b.wav", tone(1.12)), Listening(clip_s=1)).is_cut
