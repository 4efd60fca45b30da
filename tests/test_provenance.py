"""The record beside a sound: it comes back as it was, and says what is wrong with itself."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from echoframe.errors import BundleError, InputError, OutputError
from echoframe.output import file_sha256
from echoframe.provenance import (
    BundleId,
    InputId,
    Machine,
    Provenance,
    Result,
    Settings,
    changed_versions,
    check_replaceable,
    check_same_bundle,
    check_same_input,
    find_provenance,
    read_provenance,
    samples_sha256,
    to_json,
)


@pytest.fixture
def record() -> Provenance:
    return Provenance(
        input=InputId(path="/films/été.mp4", sha256="a" * 64),
        bundle=BundleId(source="mini", name="mini", version="0.1", revision="", sha256="b" * 64),
        settings=Settings(seed=2**62, duration_s=0.1 + 0.2, steps=25, guidance=2.5, scheduler="dpm++2m", candidates=3),
        machine=Machine(device="cpu", dtype="float32"),
        result=Result(
            sample_rate=16_000,
            n_samples=4800,
            samples_sha256="c" * 64,
            candidate_scores=([0.1, 0.25, -0.5],),
            nearest={"dog barking": 0.8, "rain": -0.1},
        ),
        original_level_db=-12.0,
        outputs={"a.wav": "d" * 64},
    )


@pytest.fixture
def written(record, tmp_path) -> Path:
    path = tmp_path / "a.json"
    path.write_text(to_json(record), encoding="utf-8")
    return path


def altered(path: Path, change) -> Path:
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_a_record_comes_back_as_it_was(record, written):
    assert read_provenance(written) == record


def test_a_record_names_the_versions_it_depends_on(record):
    versions = record.machine.versions
    assert {"echoframe", "torch", "diffusers", "transformers", "numpy", "av"} <= versions.keys()
    assert versions["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.pop("format"), 'format "None", expected "echoframe-provenance/2"'),
        (lambda v: v.update(more=1), "unknown key more; known keys are input, bundle"),
        (lambda v: v.pop("input"), "was altered, or written by another version of EchoFrame"),
        (lambda v: v["settings"].update(seed=-1), "seed -1: expected a whole number"),
        (lambda v: v["settings"].update(seed="one"), "was altered, or written by another version"),
        (lambda v: v.update(settings=3), "settings: found 3, expected an object"),
    ],
)
def test_an_altered_record_is_refused(written, change, words):
    with pytest.raises(InputError, match=words):
        read_provenance(altered(written, change))
    assert find_provenance(written) is None


def test_what_is_no_record(tmp_path):
    with pytest.raises(InputError, match="cannot be read .*give the JSON that EchoFrame wrote beside a sound"):
        read_provenance(tmp_path / "none.json")
    (tmp_path / "a.json").write_text("no json")
    with pytest.raises(InputError, match="not valid JSON"):
        read_provenance(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(InputError, match='format "list", expected'):
        read_provenance(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not valid JSON"):
        read_provenance(tmp_path / "a.json")


def test_only_our_own_records_are_replaced(written, tmp_path):
    check_replaceable(written)
    check_replaceable(tmp_path / "new.json")
    (tmp_path / "theirs.json").write_text('{"labels": []}')
    with pytest.raises(OutputError, match="exists and was not written by EchoFrame; move it"):
        check_replaceable(tmp_path / "theirs.json")


def test_another_clip_or_bundle_is_refused(record, tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"film")
    check_same_input(InputId(path=str(clip), sha256=file_sha256(clip)), clip)
    with pytest.raises(InputError, match="clip.mp4: sha256 .*, but the sound was made from aaaaaaaaaaaa"):
        check_same_input(record.input, clip)
    check_same_bundle(record, replace(record.bundle, source="elsewhere"))
    with pytest.raises(BundleError, match=r"bundle mini 0.2 \(sha256 eeeeeeeeeeee\) is not what .* mini 0.1"):
        check_same_bundle(record, replace(record.bundle, version="0.2", sha256="e" * 64))


def test_hashes_are_those_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(InputError, match="cannot be read"):
        file_sha256(tmp_path)
    samples = np.array([0.5, -0.25], dtype=np.float32)
    assert samples_sha256(samples) == samples_sha256(samples.astype(">f4"))
    assert samples_sha256(samples) != samples_sha256(samples[::-1])


def test_what_changed_since_is_listed(record):
    now = replace(record.machine, device="cuda", versions=record.machine.versions | {"torch": "9.9"})
    assert changed_versions(record, record.machine) == []
    assert changed_versions(record, now) == ["device cpu -> cuda", f"torch {record.machine.versions['torch']} -> 9.9"]
