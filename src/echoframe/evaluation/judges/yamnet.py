"""YAMNet: AudioSet's 521 classes, a judge that mini's training knows nothing of.

*Conventions* (tensorflow/models, research/audioset/yamnet, Apache-2.0; the file is the one that TensorFlow Hub published as
google/lite-model/yamnet/classification/tflite/1): 16 kHz, windows of 15,600 samples (0.975 s), a new one every 7,800; what
is left at the end is not heard, and a shorter sound is filled with zeros. A window's "embedding" is its class scores, in
[0, 1]; the logits are the log-odds of their mean. The names of the classes are packed as a zip behind the network.
"""

import csv
import zipfile
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.encoders import check_waveform
from echoframe.errors import BundleError
from echoframe.evaluation.agreement import GENERIC
from echoframe.evaluation.judges import Heard
from echoframe.evaluation.judges.checkpoint import Published, digest_fault
from echoframe.optional import require_extra
from echoframe.output import file_sha256

URL = "https://tfhub.dev/google/lite-model/yamnet/classification/tflite/1"
PUBLISHED = Published(
    what="YAMNet",
    file="yamnet.tflite",
    url=f"{URL}?lite-format=tflite",  # without it the address is a page about the file
    digest="10c95ea3eb9a7bb4cb8bddf6feb023250381008177ac162ce169694d05c317de",
)
SAMPLE_RATE = 16_000  # Hz
WINDOW, HOP = 15_600, 7_800  # samples
CLASSES = 521
NEAREST_TO_0_OR_1 = 1e-7  # a score whose log-odds are still finite
Network = Callable[[np.ndarray], np.ndarray]


class YamnetJudge:
    """Hears windows of 0.975 s; each embedding is 521 class scores. It reads labels by a table of the classes that count."""

    name = "yamnet"
    sample_rate = SAMPLE_RATE
    dim = classes = CLASSES
    source = f"Google's YAMNet, Apache-2.0: {URL}"

    def __init__(self, path: Path, *, device: str | torch.device = "cpu") -> None:
        """path: the published .tflite file. device: is of no use to it; it runs on the CPU, with one thread.

        Raises BundleError if the file is missing or another, InputError if ai-edge-litert is not installed.
        """
        if not path.is_file():
            raise BundleError(f"{path}: no such file, expected YAMNet's weights; fetch {URL}")
        fault = digest_fault(path, PUBLISHED)
        if fault:
            raise BundleError(f"{path}: {fault}; fetch {URL} again")
        self.sha256 = file_sha256(path)
        self.names = read_class_names(path)
        self._network = _load_network(path)

    def __call__(self, waveform: Float[Tensor, "batch samples"]) -> Heard:
        """(B, S) in [-1, 1] at 16 kHz -> embeddings (B, N, 521), logits (B, 521). Raises AudioError if not finite."""
        check_waveform(waveform)
        samples = torch.nn.functional.pad(waveform.float().cpu(), (0, max(WINDOW - waveform.shape[1], 0)))
        windows = samples.unfold(1, WINDOW, HOP).numpy()  # (B, N, 15600)
        scores = torch.from_numpy(np.stack([[self._network(window) for window in sound] for sound in windows]))
        return Heard(embeddings=scores, logits=torch.logit(scores.mean(dim=1), eps=NEAREST_TO_0_OR_1))

    def read(self, texts: list[str]) -> Float[Tensor, "texts 521"]:
        """1 at the classes that are right for a label, else 0; for a label that the table lacks 0 everywhere."""
        table = label_classes()
        rows = [[float(name in table.get(text, ())) for name in self.names] for text in texts]
        return torch.tensor(rows, dtype=torch.float32)


def read_class_names(path: Path) -> tuple[str, ...]:
    """The names of the classes, in the network's order. Raises BundleError if they are not behind the network."""
    try:
        with zipfile.ZipFile(path) as packed:
            names = tuple(packed.read(packed.namelist()[0]).decode("utf-8").strip().split("\n"))
    except (zipfile.BadZipFile, IndexError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{path}: no list of classes is packed behind the network ({error}); fetch {URL} again"
        ) from error
    if len(names) != CLASSES or any(names[place] != name for name, place in GENERIC.items()):
        raise BundleError(
            f"{path}: lists {len(names)} classes, expected YAMNet's {CLASSES} in its order; fetch {URL} again"
        )
    return names


@cache
def label_classes() -> dict[str, frozenset[str]]:
    """The classes that count as right, by label: VGGSound's labels and mini's.

    >>> sorted(label_classes()["chicken clucking"])
    ['Chicken, rooster', 'Cluck', 'Fowl']
    """
    text = files("echoframe.evaluation.judges").joinpath("audioset_classes.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {row["label"]: frozenset(row["classes"].split("|")) for row in rows}


def _load_network(path: Path) -> Network:
    """(15600,) float32 -> (521,) float32."""
    litert = require_extra("ai_edge_litert.interpreter", "eval")
    interpreter = litert.Interpreter(model_path=str(path), num_threads=1)
    taken, given = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    interpreter.resize_tensor_input(taken, [WINDOW])
    interpreter.allocate_tensors()

    def network(window: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(taken, np.ascontiguousarray(window))
        interpreter.invoke()
        return interpreter.get_tensor(given)[0].copy()

    return network
