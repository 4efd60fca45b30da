"""A library of sounds: a user's own recordings, found by what they sound like. They stay where they are."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.errors import InputError
from echoframe.generators import Generator
from echoframe.library.add import Added, add
from echoframe.library.database import Database
from echoframe.library.ears import Ears, as_vector, ears_of
from echoframe.library.entries import Entry, Found, Kind, LibraryInfo
from echoframe.library.scan import differences, under
from echoframe.library.search import Fit, Searcher, target_of_text
from echoframe.library.store import Store, absolute
from echoframe.library.voice import LibraryVoice
from echoframe.lock import exclusive_lock
from echoframe.pipeline import EchoFrame
from echoframe.progress import ProgressCallback


class Library:
    """The recordings of one library file. It is made by `create`, and opened by `open`."""

    def __init__(self, database: Database, model: EchoFrame | None, ears: Ears | None) -> None:
        """`open` and `create` call this."""
        self.path, self.model = database.path, model
        self._database, self._ears = database, ears
        self._dim = int(database.about()["dim"])
        self._store = Store(database)
        self._searcher = Searcher(self._store)

    @classmethod
    def open(cls, path: str | Path, model: EchoFrame | None = None) -> "Library":
        """Opens a library.

        Args:
            path: its file.
            model: the model whose audio space its sounds are in; None does for all but adding and searching by words
                or sounds.

        Returns:
            The library. It is closed by `close`, or at the end of a `with` block.

        Raises:
            InputError: there is no such file, it is not a library, or sqlite-vec is not here.
            BundleError: the sounds are in another model's audio space.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such library; make one with echoframe library add FOLDER -o {path}")
        database = Database(path)
        try:
            about, ears = database.about(), ears_of(model) if model is not None else None
            if ears is not None:
                ears.check(about, path)
        except BaseException:
            database.close()
            raise
        return cls(database, model, ears)

    @classmethod
    def create(cls, path: str | Path, model: EchoFrame) -> "Library":
        """Makes an empty library.

        Args:
            path: where its file is to be. Its folder has to be there.
            model: the model whose audio space its sounds are to be in.

        Returns:
            The library, open.

        Raises:
            InputError: there is a file already, sqlite-vec is not here, or the model has no audio encoder.
        """
        path, ears = Path(path), ears_of(model)
        if not path.parent.is_dir():
            raise InputError(f"{path}: its folder {path.parent} is not there; make it, or choose another name")
        database = Database(path)
        try:
            if not database.is_empty:
                raise InputError(f"{path}: is there already; open it, or choose another name")
            database.begin(ears.about(), dim=ears.space.dim)
        except BaseException:
            database.close()
            raise
        return cls(database, model, ears)

    @staticmethod
    def source_of(path: str | Path) -> str:
        """The name or folder of the model that a library was made with, "" if there is no library yet.

        Args:
            path: the library's file.

        Returns:
            What `echoframe.load` takes.

        Raises:
            InputError: the file is not a library, or sqlite-vec is not here.
        """
        if not Path(path).exists():
            return ""
        database = Database(Path(path))
        try:
            return "" if database.is_empty else database.about()["source"]
        finally:
            database.close()

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def __iter__(self) -> Iterator[Entry]:
        """Every file, in the order of paths, with its words and its pieces."""
        return self._store.entries()

    def __len__(self) -> int:
        """How many files are known, lost ones included."""
        return len(self._store.files())

    def add(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        workers: int | None = None,
        ray_address: str | None = None,
        device: str = "auto",
        progress: ProgressCallback | None = None,
    ) -> Added:
        """Adds sound files and films by reference: nothing is copied. What is known and has not changed is left alone.

        A file that is silent, broken or gone is a row with its reason. A file whose content is known is not listened to
        again: it has moved, if the other is gone, or it is a duplicate. Files are looked at in the order of their paths,
        and each is kept when it is done: a run that ends early is gone on with by the next.

        Args:
            paths: files and folders. Of folders, what is in them is taken by its suffix, hidden files left out.
            workers: processes that read and cut; None is one, or as many as a cluster has cores. More than 1 needs a
                program that guards its start by `if __name__ == "__main__"`. This process embeds, on the model's device.
            ray_address: the address of a running Ray cluster, which reads, cuts and embeds in the place of this machine. Its
                nodes have to see the sounds and the model at the same paths.
            device: what the cluster embeds on, "cpu" or "cuda"; "auto" takes its GPUs, if it has any.
            progress: a callback that takes (files done, files in all, what is wrong with the last one, "" if nothing is).

        Returns:
            What was done.

        Raises:
            InputError: a path is not there, another program adds to this library, it was opened without a model, or
                no cluster answers.
            DeviceError: the cluster gave up; what is done is kept.
            VideoError: a worker was killed.
            OutputError: the library's file cannot be written.
        """
        ears = self._with_ears("adding")
        some = [paths] if isinstance(paths, str | Path) else list(paths)
        with exclusive_lock(self.path.absolute().parent, "echoframe library add", share=self.path.name):
            try:
                return add(
                    self._store, ears, some, workers=workers, ray_address=ray_address, device=device, progress=progress
                )
            finally:
                self._searcher.forget()

    def search(
        self,
        query: str | Float[Tensor, "..."] | Float[np.ndarray, "..."],
        *,
        sample_rate: int | None = None,
        k: int = 10,
        kind: Kind | None = None,
    ) -> list[Found]:
        """Finds the pieces that fit best.

        Args:
            query: a text; or a target, (D,) or (1, D), as from `EchoFrame.predict_target`; or, with `sample_rate`, a
                waveform, (S,) or (C, S) in [-1, 1].
            sample_rate: of a waveform, in Hz.
            k: how many, at most 4096.
            kind: "event" or "ambience", to find only such pieces; None finds both.

        Returns:
            Up to `k` pieces with their files, the best first. For a target or a waveform the score is the cosine; for a
            text, the cosine with what the words mean to the model, plus how much of the text the file says, 0 to 1.

        Raises:
            InputError: a target of another size, a text or a waveform without a model, an empty text, or k out of range.
        """
        if isinstance(query, str):
            self._with_ears("searching by words")
            assert self.model is not None
            if not query.strip():
                raise InputError("an empty text; give words, a target or a waveform")
            target = target_of_text(self.model, query)
            return self._searcher.say(query, None if target is None else as_vector(target, self._dim), k, kind)
        if sample_rate is not None:
            ears = self._with_ears("searching by a sound")
            waveform = query if isinstance(query, Tensor) else torch.from_numpy(np.asarray(query, dtype=np.float32))
            query = ears.embed_whole(waveform if waveform.ndim > 1 else waveform[None], sample_rate)
        (found,) = self._searcher.near(as_vector(query, self._dim)[None], k, kind)
        return found

    def nearest(
        self,
        targets: Float[Tensor, "targets dim"] | Float[np.ndarray, "targets dim"],
        *,
        k: int = 10,
        kind: Kind | None = None,
        fit: Fit | None = None,
    ) -> list[list[Found]]:
        """Finds the pieces nearest to each of several targets; faster than one search after the other.

        Args:
            targets: (N, D) points of the audio space, of any length but zero.
            k: how many for each, at most 4096.
            kind: "event" or "ambience", to find only such pieces; None finds both.
            fit: how well embeddings meet a target, (D,), (N, D) -> (N,), such as a generator's `fit`. The 4096 nearest
                are then told apart by it, and their scores are what it says. None goes by the cosine.

        Returns:
            For each target what `search` gives for it.

        Raises:
            InputError: a target of another size or without a direction, or k out of range.
        """
        vectors = [as_vector(target, self._dim) for target in targets]
        return self._searcher.near(np.stack(vectors), k, kind, fit) if vectors else []

    def voice(self, generator: Generator) -> LibraryVoice:
        """What answers with the library's recordings; `EchoFrame.answered_by` uses it.

        Args:
            generator: of the model that the library is open with; it varies the recordings where that is asked for.

        Returns:
            The generator, which can be used for as long as the library is open.

        Raises:
            InputError: the library has no sounds.
        """
        if not self._store.kinds():
            raise InputError(f"{self.path}: holds no sounds; add some with echoframe library add FOLDER -o {self.path}")
        return LibraryVoice(self, generator)

    def usual_format(self) -> tuple[int, int]:
        """The sample rate in Hz that most of its files have, the higher one of two, and how many channels, 1 or 2."""
        there = [entry for entry in self._store.files().values() if entry.state == "done"]
        rates, channels = (
            Counter(each) for each in zip(*((e.sample_rate, min(e.channels, 2)) for e in there), strict=True)
        )
        return max(rates, key=lambda rate: (rates[rate], rate)), max(channels, key=lambda n: (channels[n], n))

    def remove(self, paths: str | Path | Iterable[str | Path]) -> int:
        """Forgets files; those on the disk stay as they are.

        Args:
            paths: files and folders; of a folder all that lies in it. They need not be there any more.

        Returns:
            How many files were forgotten.

        Raises:
            InputError: a path of which the library knows nothing.
            OutputError: the library's file cannot be written.
        """
        some = [paths] if isinstance(paths, str | Path) else list(paths)
        known, gone = self._store.files(), dict[str, None]()
        for root in map(absolute, some):
            found = [path for path in known if under(path, root)]
            if not found:
                raise InputError(f"{root}: the library knows nothing there; echoframe library info lists its folders")
            gone |= dict.fromkeys(found)
        self._store.remove(gone)
        self._searcher.forget()
        return len(gone)

    def check(self) -> list[str]:
        """Compares the library with the disk, and its own tables with each other. Nothing is changed.

        Returns:
            A line for each file that has vanished or changed, and for each fault; none if all is as it should be.
        """
        return [*(f"{self.path}: {fault}" for fault in self._database.faults()), *differences(self._store.files())]

    def info(self) -> LibraryInfo:
        """What the library holds.

        Returns:
            The counts, the model and the audio space.
        """
        about, kinds, lost = self._database.about(), self._store.kinds(), Counter[str]()
        n_files, duration_s = 0, 0.0
        for entry in self._store.files().values():
            if entry.state == "lost":
                lost[entry.reason] += 1
                continue
            n_files, duration_s = n_files + 1, duration_s + entry.duration_s
        return LibraryInfo(
            path=self.path,
            model=about["model"],
            source=about["source"],
            space=about["space"],
            dim=int(about["dim"]),
            n_files=n_files,
            n_lost=dict(sorted(lost.items())),
            n_events=kinds.get("event", 0),
            n_ambiences=kinds.get("ambience", 0),
            duration_s=duration_s,
            size=self.path.stat().st_size,
        )

    def _with_ears(self, what: str) -> Ears:
        if self._ears is None:
            raise InputError(f"{self.path}: {what} needs the model it was made with; open it with that model")
        return self._ears
