"""Hub models from a cache laid out on disk as the hub's own client leaves it; fetching, with the network played."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

from echoframe.bundles import hub
from echoframe.bundles.bundle import find_bundle, load_bundle
from echoframe.bundles.check import check_bundle, one_space_in, pull_model
from echoframe.bundles.hub import check_blobs, locate, pull
from echoframe.bundles.hub_models import HUB_MODELS, LARGER_CLAP, PINNED_WEIGHTS
from echoframe.bundles.spaces import SPACES
from echoframe.data.extract import extract
from echoframe.errors import BundleError, InputError
from echoframe.mappers.zero_shot import ZeroShotBridge
from planted_video import write_video
from tiny_bundles import COMMIT, DIM, lay_in_cache, write_fake_hub, write_tiny_mini
from tiny_models import write_tiny_clap

NAME = "audioldm-l"  # whose generator is not pinned to a commit
MEDIUM = "audioldm-m-vitb32"  # whose CLAP is not known


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
    assert f"cvssp/audioldm-l-full@{COMMIT}" in bundle.revision
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
    with pytest.raises(BundleError, match="cvssp/audioldm-l-full: no safetensors in unet .*pickles are not read"):
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
        ("cvssp/audioldm-l-full", COMMIT),
        ("openai/clip-vit-large-patch14", "32bd64288804d66eefd0ccbe215aa642df71cc41"),
        ("laion/clap-htsat-unfused", "79b58ed25fc00386262a2bea4b19fd21dc4310a0"),
    ]
    assert fake.resolved == [("cvssp/audioldm-l-full", "main")]
    assert not any("bin" in pattern or "pt" in pattern for _, _, wanted in fake.asked for pattern in wanted)
    assert json.loads((cache / "echoframe.lock.json").read_text()) == {"cvssp/audioldm-l-full": COMMIT}


def test_later_loads_take_the_locked_commit(cache, made, monkeypatch):
    FakeHub(cache, monkeypatch)
    pull(NAME, cache_dir=cache)
    # someone else fetches a newer main of the same repository
    lay_in_cache(made / "made" / "generator", cache, repo_id="cvssp/audioldm-l-full", commit="f" * 40)
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
    with pytest.raises(BundleError, match="audioldm-l-full: cannot be fetched from the hub .*check the network") as got:
        pull(NAME, cache_dir=tmp_path)
    assert "\n" not in str(got.value)
    assert '"mini" comes with the package' in str(got.value)


def test_hub_client_without_network_is_told_apart(tmp_path, monkeypatch):
    # the real client, sent to a port where nobody listens
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "HfApi", lambda: __import__("huggingface_hub").HfApi(endpoint="http://127.0.0.1:9"))
    with pytest.raises(BundleError, match="cvssp/audioldm-l-full: cannot be fetched from the hub"):
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


# --- what is known of the published weights ---------------------------------------------------------------------------


def test_the_small_audioldm_is_pinned_by_commit_and_weights():
    repo = HUB_MODELS["audioldm-s"].repos["generator"]
    assert repo == HUB_MODELS["audioldm-s-vitb32"].repos["generator"]
    assert repo.revision == "c6d8a04dee624d59d834519ff2f34d3f16391605"
    known = PINNED_WEIGHTS[repo.id]
    assert {name.partition("/")[0] for name in known} == {*repo.weights}
    assert all(len(sha256) == 64 for sha256 in known.values())


def test_weights_other_than_those_that_are_known_are_refused(cache, monkeypatch):
    FakeHub(cache, monkeypatch)
    file = "vae/diffusion_pytorch_model.safetensors"
    right = (snapshot(cache, "generator") / file).resolve().name  # the hub names such a file by its sha256
    monkeypatch.setattr(hub, "PINNED_WEIGHTS", {"cvssp/audioldm-l-full": {file: right, "vae/other.bin": "1" * 64}})
    pull(NAME, cache_dir=cache)
    monkeypatch.setattr(hub, "PINNED_WEIGHTS", {"cvssp/audioldm-l-full": {file: "0" * 64}})
    with pytest.raises(BundleError, match=r"vae/.*: its sha256 is \w+..., the known file's 000000000000...; delete it"):
        pull(NAME, cache_dir=cache)


def test_pull_says_that_generator_and_clap_are_one_space(cache, monkeypatch):
    FakeHub(cache, monkeypatch)
    told: list[str] = []
    pull_model(NAME, cache_dir=cache, tell=told.append)
    assert told == ["one audio space: the text towers of generator and CLAP have a cosine of 1.0000 or more"]
    ((names, cosine),) = json.loads((cache / SPACES).read_text()).items()
    assert names.split()[0] == f"cvssp/audioldm-l-full@{COMMIT}"
    assert cosine == pytest.approx(1, abs=1e-5)
    monkeypatch.setattr("echoframe.bundles.check.lowest_cosine", lambda *_, **__: pytest.fail("computed again"))
    located = find_bundle(NAME, cache_dir=cache)
    assert one_space_in(located, cache_dir=cache) == cosine


def test_two_spaces_are_never_mixed(tmp_path, monkeypatch):
    write_fake_hub(tmp_path, NAME)
    other = write_fake_hub(tmp_path / "elsewhere", NAME, seed=1)
    generator = snapshot(tmp_path, "generator")
    (theirs,) = (other / "made" / "generator" / "text_encoder").glob("*.safetensors")
    (generator / "text_encoder" / theirs.name).unlink()
    (generator / "text_encoder" / theirs.name).write_bytes(theirs.read_bytes())
    FakeHub(tmp_path, monkeypatch)
    told: list[str] = []
    pull_model(NAME, cache_dir=tmp_path, tell=told.append)
    assert len(told) == 1
    assert "these are not the same audio space" in told[0]
    assert f"{NAME} goes without its CLAP: candidates are not ranked" in told[0]
    bundle = load_bundle(NAME, device="cpu", cache_dir=tmp_path)
    assert bundle.audio_encoder is None
    assert bundle.mapper.config.audio_space == "cvssp/audioldm-l-full/text_encoder"
    with pytest.raises(BundleError, match="embed the same text with a cosine of .* these are not the same audio space"):
        one_space_in(find_bundle(NAME, cache_dir=tmp_path), cache_dir=tmp_path)
    (tmp_path / "films").mkdir()
    write_video(tmp_path / "films" / "a.mp4", n_frames=5)
    with pytest.raises(BundleError, match="these are not the same audio space"):
        extract(tmp_path / "films", tmp_path / "set", model=NAME, workers=0, cache_dir=tmp_path)


@pytest.fixture(scope="module")
def medium(tmp_path_factory) -> Path:
    """The cache with audioldm-m-vitb32 and, under made/, the CLAP whose text tower its generator has."""
    return write_fake_hub(tmp_path_factory.mktemp("medium"), MEDIUM)


def with_likely_clap(medium: Path, cache: Path, clap: Path) -> Path:
    """A cache of its own, in which `clap` lies as the CLAP that may be the medium generator's."""
    shutil.copytree(medium, cache, symlinks=True, ignore=shutil.ignore_patterns("made"))
    lay_in_cache(clap, cache, repo_id=LARGER_CLAP.id, commit=COMMIT)
    return cache


def test_a_likely_clap_is_used_once_it_is_proven(medium, tmp_path, monkeypatch):
    cache = with_likely_clap(medium, tmp_path / "cache", medium / "made" / "audio_encoder")
    assert load_bundle(MEDIUM, device="cpu", cache_dir=cache).audio_encoder is None
    FakeHub(cache, monkeypatch)
    told: list[str] = []
    folders = pull_model(MEDIUM, cache_dir=cache, tell=told.append)
    assert folders["audio_encoder"].parents[1].name == "models--laion--larger_clap_general"
    (line,) = told
    assert line.startswith("one audio space: laion/larger_clap_general is audioldm-m-vitb32's CLAP; the text towers")
    bundle = load_bundle(MEDIUM, device="cpu", cache_dir=cache)
    assert bundle.audio_encoder is not None
    assert bundle.mapper.config.audio_space == LARGER_CLAP.id
    assert f"{LARGER_CLAP.id}@{COMMIT}" in bundle.revision
    assert one_space_in(find_bundle(MEDIUM, cache_dir=cache), cache_dir=cache) == pytest.approx(1, abs=1e-5)
    monkeypatch.setattr("echoframe.bundles.likely_clap.lowest_cosine", lambda *_, **__: pytest.fail("computed again"))
    assert pull_model(MEDIUM, cache_dir=cache, tell=told.append) == folders


@pytest.mark.parametrize("dim", [DIM, DIM // 2], ids=["other", "smaller"])
def test_a_likely_clap_of_another_space_is_never_used(dim, medium, tmp_path, monkeypatch):
    write_tiny_clap(tmp_path / "clap", projection_dim=dim, seed=1)
    cache = with_likely_clap(medium, tmp_path / "cache", tmp_path / "clap")
    FakeHub(cache, monkeypatch)
    told: list[str] = []
    assert "audio_encoder" not in pull_model(MEDIUM, cache_dir=cache, tell=told.append)
    (line,) = told
    assert "the same audio space" in line
    assert line.endswith(
        "audioldm-m-vitb32 goes without a CLAP: candidates are not ranked, and nothing is extracted with it"
    )
    bundle = load_bundle(MEDIUM, device="cpu", cache_dir=cache)
    assert bundle.audio_encoder is None
    assert bundle.mapper.config.audio_space == "cvssp/audioldm-m-full/text_encoder"


def test_a_likely_clap_that_cannot_be_fetched_is_done_without(medium, tmp_path, monkeypatch):
    shutil.copytree(medium, tmp_path / "cache", symlinks=True, ignore=shutil.ignore_patterns("made"))
    FakeHub(tmp_path / "cache", monkeypatch)
    told: list[str] = []
    assert "generator" in pull_model(MEDIUM, cache_dir=tmp_path / "cache", tell=told.append)
    (line,) = told
    assert line.startswith("laion/larger_clap_general: cannot be fetched from the hub")
    assert "audioldm-m-vitb32 goes without a CLAP" in line


def test_the_bridge_is_kept_by_revision(made, cache, monkeypatch):
    first = load_bundle(NAME, device="cpu", cache_dir=cache).mapper
    (kept,) = (cache / "echoframe-bridges").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("echoframe.bundles.bundle.build_bridge", lambda *_, **__: pytest.fail("texts embedded again"))
        again = load_bundle(NAME, device="cpu", cache_dir=cache).mapper
    assert isinstance(first, ZeroShotBridge)
    assert isinstance(again, ZeroShotBridge)
    assert again.config == first.config
    assert torch.equal(again.audio_text, first.audio_text)
    assert torch.equal(again.visual_text, first.visual_text)
    (kept / "model.safetensors").write_bytes(b"damaged")
    mended = load_bundle(NAME, device="cpu", cache_dir=cache).mapper
    assert isinstance(mended, ZeroShotBridge)
    assert torch.equal(mended.audio_text, first.audio_text)
    assert (kept / "model.safetensors").stat().st_size > 1000
    # another commit of the generator, another bridge
    lay_in_cache(made / "made" / "generator", cache, repo_id="cvssp/audioldm-l-full", commit="f" * 40)
    load_bundle(NAME, device="cpu", cache_dir=cache)
    assert len([*(cache / "echoframe-bridges").iterdir()]) == 2
