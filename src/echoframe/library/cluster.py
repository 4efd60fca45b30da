"""Files looked at by a Ray cluster, with the engine of `extract`: read and cut on its CPUs, embedded by its encoders.

Its nodes see the sounds and the model at the same paths as this machine. The library's own file is not touched there.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from echoframe.bundles.manifest import Space
from echoframe.data.encode import EncoderChoice, load_encoders
from echoframe.data.engine import DIED, WAVE, ClipFields, Steps, in_order
from echoframe.data.ray_engine import cluster_device, ray_session, run_ray
from echoframe.errors import InputError
from echoframe.library.ears import Ears
from echoframe.library.entries import Piece
from echoframe.library.examine import Examined, examine, unread
from echoframe.library.listening import Heard
from echoframe.library.store import Store

_ROW_BYTES = 12_000_000  # a minute of sound at 48 kHz; few files have more


def examine_on_cluster(
    paths: Sequence[str], store: Store, ears: Ears, *, address: str, workers: int | None, device: str
) -> Iterator[tuple[str, Examined]]:
    """Each file with what the cluster at `address` found in it, in the order of `paths`.

    workers: files that are read at once, one a core if not given. device: of the encoders, as in `cluster_device`.
    Contents that the library knows are not listened to. Raises InputError if there is no cluster, DeviceError if Ray
    gives up.
    """
    if not paths:
        return
    with ray_session(address):
        choice = EncoderChoice(model=ears.source, device=cluster_device(device))
        for start in range(0, len(paths), WAVE):
            some = paths[start : start + WAVE]
            steps = Steps(
                read=partial(examine_row, known=store.known_contents()),
                encoder=RowEars,
                arguments=(choice, ears.rate, ears.about(), str(store.database.path)),
                row_bytes=_ROW_BYTES,
                on_gpu=choice.device.startswith("cuda"),
            )
            rows = run_ray([{"n": n, "path": path} for n, path in enumerate(some)], steps, workers=workers)
            for path, row in zip(some, in_order(rows, len(some)), strict=True):
                yield path, unread(Path(path), InputError(DIED)) if row is None else _embedded(row)


def examine_row(row: ClipFields, known: frozenset[str]) -> ClipFields:
    """{n, path} -> {n, seen, sizes, numbers}: what `examine` found, with the waveforms. known: contents that it knows."""
    seen = examine(row["path"], knows=known.__contains__)
    return _row(row["n"], seen, seen.heard.waveforms if seen.heard else ())


class RowEars:
    """The same row, with embeddings in the place of waveforms."""

    def __init__(self, choice: EncoderChoice, rate: int, about: dict[str, str], library: str) -> None:
        """choice: of the library's model; rate, about: of its ears. Raises BundleError if the model hears otherwise here."""
        space = Space(name=about["space"], dim=int(about["dim"]))
        encoder = load_encoders(choice, ("audio_encoder",))["audio_encoder"]
        self._ears = Ears(encoder=encoder, rate=rate, space=space, model=about["model"], source=about["source"])
        self._ears.check(about, library)

    def __call__(self, row: ClipFields) -> ClipFields:
        """The row's embeddings; a file whose content is known, or that has no pieces, passes."""
        seen, waveforms = _seen(row)
        vectors: Sequence[np.ndarray] = ()
        if seen.heard is not None:
            try:
                vectors = [*self._ears.embed(waveforms, seen.heard.sample_rate)]
            except Exception as error:  # out of memory, for one: a row, not a crash
                words = f"{type(error).__name__}: " + " ".join(str(error).split())
                seen = unread(Path(seen.path), InputError(f"its pieces cannot be embedded ({words})"))
        return _row(row["n"], seen, vectors)


def _row(n: int, seen: Examined, numbers: Sequence[np.ndarray]) -> ClipFields:
    """Plain values. numbers: float32 of each piece, its waveform or its embedding."""
    bare = replace(seen, heard=None if seen.heard is None else replace(seen.heard, waveforms=()))
    sizes, data = [some.size for some in numbers], b"".join(some.tobytes() for some in numbers)
    return {"n": n, "seen": json.dumps(asdict(bare)), "sizes": json.dumps(sizes), "numbers": data}


def _seen(row: ClipFields) -> tuple[Examined, list[np.ndarray]]:
    """What `_row` was given."""
    values = json.loads(row["seen"])
    heard = values.pop("heard")
    if heard is not None:
        heard = Heard(**{**heard, "pieces": tuple(map(_piece, heard["pieces"])), "waveforms": ()})
    ends = np.cumsum(json.loads(row["sizes"]), dtype=int)
    numbers = np.split(np.frombuffer(row["numbers"], dtype=np.float32), ends)[: len(ends)]
    return Examined(heard=heard, **values), numbers


def _piece(values: dict[str, Any]) -> Piece:
    loop = values["loop_s"]  # JSON has no tuples
    return Piece(**{**values, "onsets_s": tuple(values["onsets_s"]), "loop_s": None if loop is None else tuple(loop)})


def _embedded(row: ClipFields) -> Examined:
    """What a row says that went through `RowEars`."""
    seen, vectors = _seen(row)
    return seen if seen.heard is None or not vectors else replace(seen, vectors=np.stack(vectors))
