"""The manifest of an embedding set: the JSON that 0.4.0 wrote is read, and written again to the byte."""

import hashlib
import json

import pytest

from echoframe.data.embedding_manifest import MANIFEST, check_manifest, manifest_text, read_manifest
from echoframe.data.embedding_reader import EmbeddingSets
from echoframe.errors import InputError
from planted_embeddings import linear_set

# as echoframe 0.4.0 wrote it
OLD = """{
 "format": 1,
 "encoders": {
  "visual_encoder": {
   "kind": "clip",
   "source": "openai/clip-vit-base-patch32",
   "licence": "MIT",
   "space": "seen",
   "dim": 24,
   "files": {
    "model.safetensors": "aa"
   }
  }
 },
 "clip": {
  "duration_s": 10.0,
  "frame_rate": 8.0,
  "n_frames": 64,
  "sampling": "uniform"
 },
 "numbers": {
  "visual": "float16",
  "audio": "float32",
  "computed": "bfloat16"
 },
 "source": {
  "kind": "tars",
  "clips": 3,
  "sha256": "bb"
 },
 "shard_clips": 1000,
 "echoframe": "0.4.0",
 "counts": {
  "done": 2,
  "failed": 1,
  "left": 0,
  "failed_by_stage": {
   "decode": 1
  },
  "failed_by_reason": {
   "größer als erlaubt": 1
  }
 }
}
"""


def test_an_old_manifest_is_read_and_written_as_it_was(tmp_path, monkeypatch):
    (tmp_path / MANIFEST).write_text(OLD, encoding="utf-8")
    found = read_manifest(tmp_path)
    assert found.encoders["visual_encoder"].files == {"model.safetensors": "aa"}
    assert (found.source.clips, found.clip.n_frames, found.numbers.computed) == (3, 64, "bfloat16")
    assert found.counts is not None
    monkeypatch.setattr("echoframe.data.embedding_manifest.version", lambda _: "0.4.0")
    assert manifest_text(found, found.counts) == OLD


def test_a_run_into_another_sets_folder_is_refused(tmp_path):
    check_manifest(tmp_path, _old(tmp_path / "elsewhere"))  # nothing is there yet
    found = _old(tmp_path)
    check_manifest(tmp_path, found)
    (tmp_path / MANIFEST).write_text(OLD.replace('"clips": 3', '"clips": 4'), encoding="utf-8")
    with pytest.raises(InputError, match=r'its embeddings have source {"clips": 4}, this run has {"clips": 3}; choose'):
        check_manifest(tmp_path, found)


def _old(folder):
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_text(OLD, encoding="utf-8")
    return read_manifest(folder)


def test_what_a_run_knows_its_data_by_is_what_it_was(tmp_path):
    """The sha256 of a set is in every run.json: were it another, no run on an old set could go on."""
    folder = linear_set(tmp_path / "set", n=20)
    said = json.loads((folder / MANIFEST).read_text())
    told = {name: said[name] for name in ("source", "encoders", "clip", "numbers")}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())  # as 0.4.0 did
    sets, size = EmbeddingSets([folder]), (folder / "shard-00000.parquet").stat().st_size
    columns = {"key": sets.keys, "label": sets.labels, "split": sets.splits, "youtube_id": sets.films}
    for name, values in columns.items():
        digest.update(f"shard-00000.parquet {size} {name} {values.tolist()}".encode())
    assert sets.sha256 == digest.hexdigest()


@pytest.mark.parametrize("text", ["[1]", "{", '"a"', '{"format": 1, "encoders": 3}'])
def test_what_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json: not a manifest of embeddings .*; update echoframe, or"):
        read_manifest(tmp_path)
