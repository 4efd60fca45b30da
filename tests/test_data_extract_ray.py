"""Extraction, libraries and sounds by Ray Data: on this machine, on a cluster of two nodes, and with a process killed."""

import os
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echoframe.apps import cli
from echoframe.data import engine
from echoframe.data import extract as extracting
from echoframe.data.embedding_set import Row, plan_shards, read_rows
from echoframe.data.encode import EncoderChoice
from echoframe.data.engine import DecodeOptions, Pool, RowEncoder, Steps, plan_pool
from echoframe.data.extract import ExtractResult, extract
from echoframe.data.ray_engine import cluster_device, ray_session, run_ray
from echoframe.data.sources import list_source
from echoframe.errors import DeviceError, InputError
from echoframe.jobs import cluster as generating
from echoframe.provenance import read_provenance
from echoframe.spec import ClipSpec
from library_rows import rows as library_rows
from planted_sounds import RATE, tone
from planted_video import write_video
from tiny_bundles import write_tiny_mini

KEYS = [f"clip{n}" for n in range(6)]
# Ray's own: old options it sets itself, sockets and files it leaves to the collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny"
    write_tiny_mini(path)
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Six clips, of which clip 2 is no film."""
    folder = tmp_path_factory.mktemp("films")
    for n, key in enumerate(KEYS):
        write_video(folder / f"{key}.mp4", n_frames=20, tone_hz=200.0 + 100 * n)
    (folder / "clip2.mp4").write_bytes(b"not a film at all" * 50)
    return folder


@pytest.fixture(scope="module")
def plain(films, model, tmp_path_factory):
    """What a plain loop gives."""
    out = tmp_path_factory.mktemp("plain")
    extract(films, out, model=model, shard_clips=4, workers=0, device="cpu")
    return rows_of(films, out)


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with one core each, on this machine."""
    from ray.cluster_utils import Cluster

    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in settings.items():
            patch.setenv(name, value)
        memory = 300_000_000
        nodes = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 1, "object_store_memory": memory, "include_dashboard": False},
        )
        nodes.add_node(num_cpus=1, object_store_memory=memory)
        yield nodes
        nodes.shutdown()


def rows_of(films: Path, out: Path) -> dict[str, Row]:
    return dict(row for shard in plan_shards(out, list_source(films).items, 4) for row in read_rows(shard))


def run(films: Path, out: Path, model: Path, **options) -> ExtractResult:
    return extract(films, out, model=model, shard_clips=4, device="cpu", **options)


def assert_same(found: dict[str, Row], expected: dict[str, Row], *, without: tuple[str, ...] = ()) -> None:
    assert list(found) == [key for key in expected if key not in without]
    for key, row in found.items():
        np.testing.assert_array_equal(row.mask, expected[key].mask)
        # another number of threads sums in another order
        np.testing.assert_allclose(row.visual, expected[key].visual, atol=2e-3)
        np.testing.assert_allclose(row.audio, expected[key].audio, atol=1e-5)


def patch_decode(monkeypatch: pytest.MonkeyPatch, deaths: Path, *, n: int, times: int) -> None:
    """The process that decodes clip `n` dies the first `times` times."""
    real = engine.decode_row

    def decoded(
        row, options
    ):  # a function within a function: it travels whole, the module of a test would not be found
        if row["n"] == n and len(list(deaths.iterdir())) < times:
            (deaths / os.urandom(4).hex()).touch()
            os._exit(1)
        return real(row, options)

    deaths.mkdir()
    monkeypatch.setattr(extracting, "decode_row", decoded)


def test_two_nodes_and_a_killed_process_give_what_a_plain_loop_gives(
    cluster, films, model, plain, tmp_path, monkeypatch
):
    with ray_session(cluster.address):
        assert cluster_device("auto") == "cpu"
        result = run(films, tmp_path / "two", model, ray_address=cluster.address)
        assert (result.n_done, result.n_failed, result.failed_by_stage) == (5, 1, {"decode": 1})
        assert_same(rows_of(films, tmp_path / "two"), plain)
        patch_decode(monkeypatch, tmp_path / "deaths", n=3, times=1)
        result = run(films, tmp_path / "killed", model)
        assert len(list((tmp_path / "deaths").iterdir())) == 1
    assert (result.n_done, result.n_failed) == (5, 1)
    for path in (tmp_path / "two").glob("*.parquet"):
        assert (tmp_path / "killed" / path.name).read_bytes() == path.read_bytes()


def test_a_library_is_added_to_by_the_same_cluster(cluster, model, tmp_path, capsys):
    """The command; rows as without Ray, but for the last bits of embeddings."""
    pytest.importorskip("sqlite_vec")
    sounds, libraries = tmp_path / "sounds", [tmp_path / "there.library", tmp_path / "here.library"]
    sounds.mkdir()
    for hz in (200, 300, 400):
        soundfile.write(sounds / f"{hz}.wav", tone(0.5, hz), RATE)
    (sounds / "empty.wav").touch()
    words = ["library", "add", str(sounds), "--model", str(model), "--workers", "2", "--quiet", "-o"]
    assert cli.main([*words, str(libraries[0]), "--ray-address", "127.0.0.1:1"]) == 2
    assert "no Ray cluster at 127.0.0.1:1 (" in capsys.readouterr().err
    assert cli.main([*words, str(libraries[0]), "--ray-address", cluster.address]) == 1
    assert cli.main([*words, str(libraries[1])]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == [
        "4 files (4 new, 0 known, 0 moved, 0 duplicates), 1 lost (1 broken)"
    ] * 2
    there, here = map(library_rows, libraries)
    vectors = [
        [row[1] for row in some if isinstance(row, tuple) and isinstance(row[1], list)] for some in (there, here)
    ]
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    assert np.shape(vectors) == (2, 3, 32)
    assert there[:4] == here[:4]


def test_sounds_are_generated_by_the_same_cluster(cluster, films, model, tmp_path, monkeypatch, capsys):
    """The command, with the actor killed in the middle: as the plain loop, but for the last bits of samples."""
    deaths = tmp_path / "deaths"
    deaths.mkdir()

    class Killed:  # a class within a function travels whole, and finds the real one there
        def __init__(self, work):
            from echoframe.jobs.cluster import RowMaker

            self._make = RowMaker(work)

        def __call__(self, row):
            if row["n"] == 1 and not list(deaths.iterdir()):
                (deaths / "one").touch()
                os._exit(1)
            return self._make(row)

    monkeypatch.setattr(generating, "RowMaker", Killed)
    there, here = tmp_path / "there", tmp_path / "here"
    words = ["generate", str(films), "--model", str(model), "--batch-size", "2", "--no-mux", "--duration", "1", "-o"]
    assert cli.main([*words, str(there), "--ray-address", cluster.address]) == 1
    assert [path.name for path in deaths.iterdir()] == ["one"]
    told = capsys.readouterr()
    assert cli.main([*words, str(here)]) == 1
    lines = [line for line in told.out.splitlines() if " -> " in line]  # beside what Ray says, if others imported it
    assert lines == capsys.readouterr().out.replace(str(here), str(there)).splitlines()
    assert "clip2.mp4: " in told.err
    assert "5 of 6 clips done, 1 failed" in told.err
    names = [path.name for path in sorted(here.glob("[!.]*"))]
    assert names == [f"clip{n}.wav{end}" for n in (0, 1, 3, 4, 5) for end in ("", ".json")]
    assert [path.name for path in sorted(there.iterdir())] == names
    for name in names[::2]:
        made, expected = (soundfile.read(folder / name)[0] for folder in (there, here))
        np.testing.assert_allclose(made, expected, atol=1e-4)
        records = [read_provenance(folder / f"{name}.json") for folder in (there, here)]
        assert records[0].settings == records[1].settings
        assert records[0].machine == records[1].machine
        assert records[0].result.nearest.keys() == records[1].result.nearest.keys()
    assert cli.main([*words, str(there)]) == 1  # on this machine: all is known
    assert capsys.readouterr().out.count("done before") == 5


@pytest.mark.slow
def test_a_clip_that_kills_every_process_is_a_failure(films, model, plain, tmp_path, monkeypatch, capfd):
    """On this machine alone, where Ray's core says nothing of itself; then the encoder that cannot be loaded."""
    look = DecodeOptions(spec=ClipSpec(n_frames=4), short_side=256, with_sound=True)
    with ray_session(None, row_bytes=look.clip_bytes):
        assert capfd.readouterr() == ("", "")
        patch_decode(monkeypatch, tmp_path / "deaths", n=1, times=99)
        result = run(films, tmp_path / "set", model)
        assert (result.n_done, result.failed_by_stage) == (4, {"decode": 2})
        assert_same(rows_of(films, tmp_path / "set"), plain, without=("clip1",))
        assert "died each time" in (tmp_path / "set" / "failures.jsonl").read_text()
        monkeypatch.undo()
        again = run(films, tmp_path / "set", model, retry=["decode"])
        assert (again.n_new, again.n_done, again.failed_by_stage) == (1, 5, {"decode": 1})
        assert_same(rows_of(films, tmp_path / "set"), plain)
        steps = Steps(
            read=partial(engine.decode_row, options=look),
            encoder=RowEncoder,
            arguments=(EncoderChoice(model=tmp_path / "no model", device="cpu"),),
            row_bytes=look.clip_bytes,
            on_gpu=False,
        )
        rows = [{"n": 0, "path": str(films / "clip0.mp4"), "offset": -1, "size": 0}]
        with pytest.raises(DeviceError, match="Ray stopped .*; what is done is kept, so run it again to continue"):
            list(run_ray(rows, steps, workers=1))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999", "nonsense"])
def test_an_address_without_a_cluster(films, model, tmp_path, address):
    with pytest.raises(InputError, match=f"no Ray cluster at {address} "):
        run(films, tmp_path, model, ray_address=address)


@pytest.mark.parametrize("cores", [1, 2, 3, 6, 64])
@pytest.mark.parametrize("workers", [None, 1, 3, 200])
def test_a_pool_fits_into_its_machine(cores, workers):
    pool = plan_pool([float(cores)], gpus=0, workers=workers)
    assert pool.decoders * pool.decoder_cpus + pool.encoders * pool.encoder_cpus <= cores + 1e-6
    assert pool.encoders * pool.threads <= cores
    assert pool.decoders == (workers or cores)
    with_gpus = plan_pool([float(cores)], gpus=2, workers=workers)
    assert (with_gpus.encoders, with_gpus.gpus) == (2, 1.0)
    assert with_gpus.decoders * with_gpus.decoder_cpus <= cores


def test_pools_of_uneven_nodes():
    assert plan_pool([0.0, 2.0, 7.0], gpus=0, workers=None) == Pool(
        decoders=9, decoder_cpus=0.5, encoders=4, encoder_cpus=1.0, gpus=0.0, threads=2
    )
