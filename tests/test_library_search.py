"""What a search finds among many pieces, against arithmetic; kinds, several targets at once, and rows that change."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from echoframe.library.database import Database
from echoframe.library.entries import Entry, Found, Piece
from echoframe.library.search import Searcher
from echoframe.library.store import Cut, Store

pytest.importorskip("sqlite_vec")
SIZE, N = 5, 1100  # more pieces than sqlite-vec keeps in one of its blocks


def put(store: Store, number: int, vectors: Sequence[np.ndarray], *, name: str = "", state: str = "done") -> None:
    """A file of as many seconds as it has pieces; every third piece is an ambience."""
    kinds = ["ambience" if (number + at) % 3 == 0 else "event" for at in range(len(vectors))]
    pieces = [
        Piece(start_s=at, stop_s=at + 1.0, kind=kind, loudness_lufs=-math.inf, peak_db=-6.0)  # type: ignore[arg-type]
        for at, kind in enumerate(kinds)
    ]
    entry = Entry(
        path=Path(f"/sounds/{number:04d}.wav"),
        size=1,
        mtime_ns=1,
        sha256=f"{number:064x}",
        sample_rate=48_000,
        channels=1,
        duration_s=float(len(vectors)),
        state=state,  # type: ignore[arg-type]
        reason="" if state == "done" else "vanished",
        words={"name": name or f"sound {number}"},
    )
    store.put(entry, Cut(pieces=pieces, vectors=np.array(vectors)))


def points(n: int, seed: int) -> np.ndarray:
    """(n, SIZE) float32 of length 1."""
    found = np.random.default_rng(seed).standard_normal((n, SIZE)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def opened(path: Path) -> Store:
    database = Database(path)
    if database.is_empty:
        about = {"space": "made up", "dim": str(SIZE), "model": "none", "source": "none", "probe": "[]"}
        database.begin(about, dim=SIZE)
        database.connection.execute("PRAGMA synchronous = OFF")
    return Store(database)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    found = points(N, 0)
    found[900:903] = found[7]  # sounds that are equal to the ear
    return found


@pytest.fixture(scope="module")
def store(vectors, tmp_path_factory) -> Iterator[Store]:
    """Files of one piece, some of them forgotten, one of three pieces that came later, and one that has vanished."""
    store = opened(tmp_path_factory.mktemp("library") / "my.library")
    for number, vector in enumerate(vectors):
        put(store, number, [vector], state="lost" if number == 50 else "done")
    store.remove([f"/sounds/{number:04d}.wav" for number in range(0, 30, 4)])
    put(store, N, list(points(3, 1)))
    yield store
    store.database.close()


def there(vectors: np.ndarray) -> dict[str, np.ndarray]:
    """What can be found, by name and start."""
    gone = {*range(0, 30, 4), 50}
    found = {f"{number:04d} 0": vector for number, vector in enumerate(vectors) if number not in gone}
    return found | {f"{N:04d} {at}": vector for at, vector in enumerate(points(3, 1))}


def names(found: Sequence[Found]) -> list[str]:
    return [f"{each.path.stem} {each.piece.start_s:.0f}" for each in found]


@pytest.mark.parametrize("kind", [None, "event", "ambience"])
def test_the_nearest_are_those_of_arithmetic(store, vectors, kind):
    targets = np.concatenate([points(20, 2), vectors[7:8]])
    near = Searcher(store).near(targets, 6, kind)
    known = there(vectors)
    if kind is not None:
        known = {name: v for name, v in known.items() if (sum(map(int, name.split())) % 3 == 0) == (kind == "ambience")}
    for target, found in zip(targets, near, strict=True):
        cosines = {name: float(v.astype(float) @ target.astype(float)) for name, v in known.items()}
        assert names(found) == sorted(known, key=lambda name: (-round(cosines[name], 12), name))[:6]
        assert [each.score for each in found] == pytest.approx([cosines[name] for name in names(found)])
        assert kind is None or {each.piece.kind for each in found} == {kind}
    if kind is None:
        assert names(near[-1])[:4] == ["0007 0", "0900 0", "0901 0", "0902 0"]


def test_an_answer_does_not_depend_on_the_targets_beside_it(store):
    searcher, targets = Searcher(store), points(20, 3)
    together = searcher.near(targets, 5)
    for target, found in zip(targets, together, strict=True):
        (alone,) = searcher.near(target[None], 5)
        assert alone == found


def test_all_that_there_is_and_no_more(store, vectors):
    (found,) = Searcher(store).near(points(1, 4), 4096)
    assert sorted(names(found)) == sorted(there(vectors))


def test_words_and_their_place_are_weighed_for_every_piece(store, vectors):
    put(store, N + 1, [points(1, 5)[0]] * 2, name="a wooden door slams")
    put(store, N + 2, [points(1, 6)[0]], name="a door")
    searcher, target = Searcher(store), points(1, 7)[0]
    said = {f"{N + 1} 0": 1.0, f"{N + 1} 1": 1.0, f"{N + 2} 0": 0.5}
    known = there(vectors) | {f"{N + 1} {at}": points(1, 5)[0] for at in range(2)} | {f"{N + 2} 0": points(1, 6)[0]}
    scores = {name: float(v.astype(float) @ target.astype(float)) + said.get(name, 0.0) for name, v in known.items()}
    found = searcher.say("wooden door", target, 100)
    assert names(found) == sorted(known, key=lambda name: (-round(scores[name], 12), name))[:100]
    assert [each.score for each in found] == pytest.approx([scores[name] for name in names(found)])
    for each, name in zip(found, names(found), strict=True):
        assert each.score - each.similarity == pytest.approx(said.get(name, 0.0), abs=1e-6)
    assert names(searcher.say("wooden door", None, 100)) == [*said]
    assert names(searcher.say("zebra", vectors[7], 4)) == ["0007 0", "0900 0", "0901 0", "0902 0"]
    (event,) = searcher.say("wooden door", None, 1, "event")
    assert names([event]) == [f"{N + 1} {0 if (N + 1) % 3 else 1}"]
    store.remove([f"/sounds/{N + 1}.wav", f"/sounds/{N + 2}.wav"])


def test_what_another_program_has_written_is_found(tmp_path):
    store = opened(tmp_path / "my.library")
    searcher, target = Searcher(store), points(2, 0)
    assert searcher.near(target, 1) == [[], []]
    other = opened(tmp_path / "my.library")
    put(other, 1, [target[0]], name="thunder")
    assert names(searcher.near(target, 1)[0]) == ["0001 0"]
    assert names(searcher.say("thunder", None, 1)) == ["0001 0"]
    put(other, 2, [target[1]], name="thunder")
    assert names(searcher.near(target, 1)[1]) == ["0002 0"]
    assert len(searcher.say("thunder", None, 5)) == 2
    other.remove(["/sounds/0001.wav", "/sounds/0002.wav"])
    assert searcher.near(target, 1) == [[], []]
    assert searcher.say("thunder", target[0], 5) == []
    for each in (store, other):
        each.database.close()
