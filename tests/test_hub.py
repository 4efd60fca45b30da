"""Hub models from a cache laid out on disk as the hub's own client leaves it; fetching, with the network played."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from echoframe.bundles import hub
from echoframe.bundles.bundle import find_bundle, load_bundle
from echoframe.bundles.check import check_bundle
from echoframe.bundles.hub import HUB_MODELS, check_blobs, locate, pull
from echoframe.errors import BundleError, InputError
from echoframe.mappers.zero_shot import ZeroShotBridge
from tiny_bundles import COMMIT, DIM, lay_in_cache, write_fake_hub, write_tiny_mini

NAME = "audioldm-s"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return write_fake_hub(tmp_path_factory.mktemp("hub"), NAME)


@pytest.fixture
def cache(made, tmp_path) -> Path:
    """A cache of its own for each test that alters it."""
    for part, repo in HUB_MODELS[NAME].repos.items():
        commit = repo.revision if repo.revision != "main" else COMMIT
        lay_in_cache(made / "made" / part, tmp_path, repo_id=repo.id, commit=commit)
    return tmp_path


def snapshot(cache: Path, part: str) -> Path:
    return locate(NAME, cache_dir=cache)[part]


def test_every_size_with_both_clips():
    names = [f"audioldm-{size}{clip}" for size in "sml" for clip in ("", "-vitb32")]
    assert [*HUB_MODELS] == names
    for name in names:
        clip = HUB_MODELS[name].repos["visual_encoder"].id
        assert clip.endswith("base-patch32" if name.endswith("vitb32") else "large-patch14")
    # m's CLAP is another than that of s and l
    assert ["audio_encoder" in HUB_MODELS[name].repos for name in names] == [True, True, False, False, True, True]


def test_loads_from_the_cache_and_builds_the_bridge(made):
    bundle = load_bundle(NAME, device="cpu", cache_dir=made)
    assert bundle.manifest.licence == "CC-BY-NC-SA-4.0"
    assert bundle.path is None
    assert f"cvssp/audioldm-s-full-v2@{COMMIT}" in bundle.revision
    assert isinstance(bundle.mapper, ZeroShotBridge)
    assert bundle.mapper.config.visual_space == "openai/clip-vit-large-patch14"
    assert bundle.mapper.config.audio_space == "laion/clap-htsat-unfused"
    assert (bundle.visual_encoder.dim, bundle.generator.dim, bundle.generator.sample_rate) == (16, DIM, 16_000)


def test_loads_without_a_clap_of_its_own(tmp_path):
    write_fake_hub(tmp_path, "audioldm-m-vitb32")
    bundle = load_bundle("audioldm-m-vitb32", device="cpu", cache_dir=tmp_path)
    assert bundle.audio_encoder is None
    assert bundle.mapper.config.audio_space == "cvssp/audioldm-m-full/text_encoder"


def test_check_hashes_every_file_and_compares_the_text_towers(made):
    lines = check_bundle(NAME, device="cpu", cache_dir=made)
    assert [line.split(":")[0] for line in lines[:3]] == ["visual_encoder", "generator", "audio_encoder"]
    assert all("files with the right hash" in line for line in lines[:3])
    assert lines[-1] == "text towers of generator and audio_encoder: cosine 1.0000 or more over 8 texts"


def test_bundle_in_one_repository(tmp_path):
    write_tiny_mini(tmp_path / "made")
    folder = lay_in_cache(tmp_path / "made", tmp_path, repo_id="someone/my-bundle", commit=COMMIT)
    bundle = load_bundle("someone/my-bundle", device="cpu", cache_dir=tmp_path)
    assert (bundle.name, bundle.path, bundle.revision) == ("tiny-mini", folder, f"someone/my-bundle@{COMMIT}")


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_altered_file_is_refused(cache, suffix):
    folder = snapshot(cache, "generator") / "vae"
    blob = next(folder.glob(f"*{suffix}")).resolve()
    data = bytearray(blob.read_bytes())
    data[-2] ^= 1
    blob.write_bytes(data)
    with pytest.raises(
        BundleError, match=rf"vae/.*{suffix}: altered: hash \w+\.\.\., expected \w+\.\.\.; delete it and pull again"
    ):
        check_bundle(NAME, cache_dir=cache)


def test_lost_blob_is_refused(cache):
    folder = snapshot(cache, "generator")
    (folder / "vae" / "config.json").resolve().unlink()
    with pytest.raises(BundleError, match="config.json: missing, expected the file .* in the hub's cache"):
        check_blobs(folder)


def test_config_without_dimensions_is_refused(cache):
    path = snapshot(cache, "visual_encoder") / "config.json"
    values = json.loads(path.read_text())
    del values["projection_dim"]
    path.write_text(json.dumps(values))
    with pytest.raises(BundleError, match="config.json: projection_dim is None, expected a whole number"):
        find_bundle(NAME, cache_dir=cache)


@pytest.mark.parametrize("name", [NAME, "someone/else"])
def test_not_pulled_says_how_to_pull_and_how_to_do_without(name, tmp_path):
    with pytest.raises(
        BundleError, match=f'{name}: .* is not on this machine .*"echoframe models pull {name}" .*"mini" comes with'
    ):
        load_bundle(name, cache_dir=tmp_path)


def test_pickled_weights_are_refused(cache):
    folder = snapshot(cache, "generator")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(BundleError, match="cvssp/audioldm-s-full-v2: no safetensors in unet .*pickles are not read"):
        load_bundle(NAME, cache_dir=cache)


class FakeHub:
    """Answers as the hub's client does once a snapshot is fetched; remembers what it was asked for."""

    def __init__(self, cache: Path, monkeypatch, *, head: str = COMMIT) -> None:
        self.head, self.asked, self.resolved = head, [], []
        real: Any = hub.snapshot_download

        def download(repo_id: str, **wanted) -> str:
            self.asked.append((repo_id, wanted["revision"], wanted["allow_patterns"]))
            return real(repo_id, **wanted | {"local_files_only": True})

        def model_info(_, repo_id: str, *, revision: str) -> SimpleNamespace:
            self.resolved.append((repo_id, revision))
            return SimpleNamespace(sha=self.head)

        monkeypatch.setattr(hub, "snapshot_download", download)
        monkeypatch.setattr(hub.HfApi, "model_info", model_info)


def test_pull_fetches_pinned_commits_and_locks_the_others(cache, monkeypatch):
    fake = FakeHub(cache, monkeypatch)
    pull(NAME, cache_dir=cache)
    assert [(repo, revision) for repo, revision, _ in fake.asked] == [
        ("cvssp/audioldm-s-full-v2", COMMIT),
        ("openai/clip-vit-large-patch14", "32bd64288804d66eefd0ccbe215aa642df71cc41"),
        ("laion/clap-htsat-unfused", "79b58ed25fc00386262a2bea4b19fd21dc4310a0"),
    ]
    assert fake.resolved == [("cvssp/audioldm-s-full-v2", "main")]
    assert not any("bin" in pattern or "pt" in pattern for _, _, wanted in fake.asked for pattern in wanted)
    assert json.loads((cache / "echoframe.lock.json").read_text()) == {"cvssp/audioldm-s-full-v2": COMMIT}


def test_later_loads_take_the_locked_commit(cache, made, monkeypatch):
    FakeHub(cache, monkeypatch)
    pull(NAME, cache_dir=cache)
    # someone else fetches a newer main of the same repository
    lay_in_cache(made / "made" / "generator", cache, repo_id="cvssp/audioldm-s-full-v2", commit="f" * 40)
    assert snapshot(cache, "generator").name == COMMIT


def test_pull_of_a_whole_bundle(tmp_path, monkeypatch):
    write_tiny_mini(tmp_path / "made")
    folder = lay_in_cache(tmp_path / "made", tmp_path, repo_id="someone/my-bundle", commit=COMMIT)
    FakeHub(tmp_path, monkeypatch)
    assert pull("someone/my-bundle", cache_dir=tmp_path) == {"bundle": folder}


def test_pull_of_an_unknown_name_is_refused():
    with pytest.raises(
        BundleError, match='"mini": there is nothing to pull; the models on the hub are audioldm-s, audioldm-s-vit'
    ):
        pull("mini")


@pytest.mark.parametrize("error", [ConnectionError("no route"), LocalEntryNotFoundError("nothing\nhere"), OSError()])
def test_unreachable_hub_is_one_line(error, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(hub.HfApi, "model_info", fail)
    with pytest.raises(
        BundleError, match="audioldm-s-full-v2: cannot be fetched from the hub .*check the network"
    ) as got:
        pull(NAME, cache_dir=tmp_path)
    assert "\n" not in str(got.value)
    assert '"mini" comes with the package' in str(got.value)


def test_hub_client_without_network_is_told_apart(tmp_path, monkeypatch):
    # the real client, sent to a port where nobody listens
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "HfApi", lambda: __import__("huggingface_hub").HfApi(endpoint="http://127.0.0.1:9"))
    with pytest.raises(BundleError, match="cvssp/audioldm-s-full-v2: cannot be fetched from the hub"):
        pull(NAME, cache_dir=tmp_path)


def test_uploading_with_the_hub_played(tmp_path, monkeypatch):
    asked = []
    api = SimpleNamespace(
        create_repo=lambda repo, **more: asked.append(("create", repo, more["repo_type"])),
        upload_folder=lambda **more: asked.append(("upload", more["repo_id"], more["folder_path"])),
    )
    monkeypatch.setattr(hub, "HfApi", lambda: api)
    assert (
        hub.upload(tmp_path, "someone/vggsound", repo_type="dataset", message="clips")
        == "https://huggingface.co/datasets/someone/vggsound"
    )
    assert asked == [("create", "someone/vggsound", "dataset"), ("upload", "someone/vggsound", tmp_path)]

    def refuse(repo, **_):
        raise OSError("no network here")

    api.create_repo = refuse
    with pytest.raises(InputError, match="cannot be uploaded .no network here.; log in with hf auth login"):
        hub.upload(tmp_path, "someone/vggsound", repo_type="model", message="a bundle")
