"""What names and metadata say: UCS names, bext, iXML, ID3 and Vorbis comments, and what is not trusted in them."""

import struct
from pathlib import Path

import av
import pytest
import soundfile

from echoframe.library.described import plain, ucs_words, words_of
from echoframe.library.riff import ixml_words, riff_lie, riff_words
from echoframe.library.wording import WordIndex
from planted_sounds import RATE, tone


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def with_chunks(path: Path, *chunks: bytes, first: bool = False) -> Path:
    """A second of sound with more chunks after its samples, or before them."""
    soundfile.write(path, tone(1.0, 200), RATE)
    whole = path.read_bytes()
    more = b"".join(chunks)
    body = whole[12:36] + more + whole[36:] if first else whole[12:] + more
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body)
    return path


def tagged(path: Path, tags: dict[str, str]) -> Path:
    """A tone with a title, a genre and a comment."""
    if path.suffix != ".mp3":
        with soundfile.SoundFile(path, "w", samplerate=RATE, channels=1) as file:
            for name, value in tags.items():
                setattr(file, name, value)
            file.write(tone(0.5, 300))
        return path
    soundfile.write(path.with_suffix(".wav"), tone(0.5, 300), RATE)
    with av.open(str(path.with_suffix(".wav"))) as source, av.open(str(path), "w") as target:
        target.metadata.update(tags)
        stream = target.add_stream("libmp3lame", rate=48_000)
        for frame in source.decode(audio=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def test_a_ucs_name_is_read_by_its_form():
    for stem, category, subcategory, title in (
        ("AMBBird_Forest Morning_JS_LIB", "AMB", "Bird", "forest morning"),
        ("UIClick_Soft-Button_AB_Pack_01", "UI", "Click", "soft button"),
        ("WATRWave-Close_Surf_ABC", "WATR", "Wave", "surf"),
    ):
        found = ucs_words(stem)
        assert (found["category"], found["subcategory"], found["title"]) == (category, subcategory, title)
    for stem in ("AMBBird_Forest", "dog_bark_close_01", "AMB_Bird_x_y", "Doorwood_a_b_c", "", "_a_b_c"):
        assert ucs_words(stem) == {}, stem


def test_names_become_words():
    assert plain("CarHorn_02 (far)-take3") == "car horn 02 far take 3"
    assert plain("Überfall_Straße") == "überfall straße"


def test_a_wav_says_what_its_chunks_say(tmp_path):
    ixml = (
        "<?xml version='1.0' encoding='UTF-8'?><BWFXML><PROJECT>x</PROJECT><NOTE>too\n  close</NOTE>"
        "<BEXT><BWF_DESCRIPTION>second</BWF_DESCRIPTION></BEXT>"
        "<USER><CATEGORY>DOORS</CATEGORY><KEYWORDS>old, oak</KEYWORDS></USER></BWFXML>"
    )
    bext = b"knock on oak".ljust(256, b"\0") + b"\0" * 346
    for first in (False, True):
        path = with_chunks(
            tmp_path / "DOORWood_Knock_ABC_L1.wav", chunk(b"bext", bext), chunk(b"iXML", ixml.encode()), first=first
        )
        assert riff_lie(path) == ""
        words = words_of(path)
        assert words["description"] == "knock on oak"  # bext's comes first
        assert (words["note"], words["keywords"]) == ("too close", "old, oak")
        assert (words["category"], words["subcategory"], words["catid"]) == ("DOOR", "Wood", "DOORWood")
        assert words["folder"] == plain(tmp_path.name)


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".flac"])
def test_tags_are_read(tmp_path, suffix):
    tags = {"title": "Dog", "genre": "Animals", "comment": "a large one"}
    words = words_of(tagged(tmp_path / f"a{suffix}", tags))
    assert {field: words[field].removesuffix(" (libsndfile-1.2.2)") for field in tags} == tags


def test_an_xml_with_a_dtd_is_not_read():
    bomb = (
        b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        b"<BWFXML><NOTE>&b;</NOTE></BWFXML>"
    )
    assert ixml_words(bomb) == {}
    outside = b'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><BWFXML><NOTE>&a;</NOTE></BWFXML>'
    assert ixml_words(outside) == {}
    # an entity that nobody declared, and a document that breaks off: what came before counts
    assert ixml_words(b"<BWFXML><NOTE>here</NOTE><SCENE>&x;</SCENE></BWFXML>") == {"note": "here"}
    assert ixml_words(b"<BWFXML><NOTE>here</NOTE><SCE") == {"note": "here"}
    assert ixml_words(b"<BWFXML><NOTE>here</NOTE></BWFXML>\0\0\0") == {"note": "here"}
    assert ixml_words(b"\xff\xfe\x00") == ixml_words(b"") == {}
    assert ixml_words(b"<?xml version='1.0' encoding='no-such'?><BWFXML/>") == {}


def test_damaged_chunks_say_nothing_and_end(tmp_path):
    path = with_chunks(tmp_path / "a.wav", chunk(b"bext", b"\xe9t\xe9".ljust(602, b"\0")))
    assert riff_words(path) == {"description": "été"}
    whole = path.read_bytes()
    for place in range(4, len(whole), 97):
        path.write_bytes(whole[:place])
        riff_words(path)
        riff_lie(path)
    path.write_bytes(b"RIFF\0\0\0\0WAVE" + b"abcd\0\0\0\0" * 5000)  # chunks without end
    assert (riff_words(path), riff_lie(path)) == ({}, "")
    assert (riff_words(tmp_path / "none.wav"), riff_lie(tmp_path / "none.wav")) == ({}, "")
    assert words_of(tmp_path / "none.wav")["name"] == "none"


def test_a_header_that_promises_more_lies_and_one_that_promises_nothing_does_not(tmp_path):
    path = with_chunks(tmp_path / "a.wav")
    whole = path.read_bytes()
    for size, words in (
        (2 * RATE * 60, "its header promises 60.0 s, 1.0 s are there"),
        (0xFFFFFFFF, ""),  # written to a pipe
        (0, ""),
        (2 * RATE + 100, ""),  # some bytes more, as of a recorder whose battery failed
    ):
        path.write_bytes(whole[:40] + struct.pack("<I", size) + whole[44:])
        assert riff_lie(path).startswith(words)
        assert bool(riff_lie(path)) == bool(words)
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, 2 * RATE * 30, RATE * 30, 0))
    path.write_bytes(b"RF64\xff\xff\xff\xffWAVE" + ds64 + whole[12:40] + b"\xff\xff\xff\xff" + whole[44:])
    assert riff_lie(path).startswith("its header promises 30.0 s")


def test_texts_are_compared_word_by_word():
    index = WordIndex(["door slam 01", "a wooden door, slammed", "Rain on glass", ""])
    likeness = index.likeness("a wooden door slams")
    assert likeness[0] == pytest.approx((0 + 1 + 8 / 9) / 3)  # "slam" is like "slams" by 8 of 9: twice four letters
    assert likeness[1] == pytest.approx((1 + 1 + 0) / 3)  # "slammed" is not: 8 of 12
    assert likeness[2:].tolist() == [0, 0]
    assert index.likeness("RAIN").tolist() == [0, 0, 1, 0]
    assert index.likeness("on").tolist() == [0, 0, 1, 0]  # a short word counts where there is no other
    assert index.likeness("?!").tolist() == WordIndex(["", "", "", ""]).likeness("rain").tolist() == [0, 0, 0, 0]
    assert WordIndex([]).likeness("rain").tolist() == []
