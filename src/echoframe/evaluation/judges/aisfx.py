"""aiSFX as a judge: the audio encoder that ships with mini, so that an evaluation needs no download."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.bundles.bundle import EMBEDDED
from echoframe.encoders.aisfx import EMBEDDING_DIM, SAMPLE_RATE, AisfxEncoder
from echoframe.evaluation.judges import Heard
from echoframe.output import file_sha256


class AisfxJudge:
    """Hears 2.32-s blocks, a new one every 1.16 s, as windows. Post-ReLU vectors all lie in one orthant: the mean of its
    training sounds, which the encoder keeps, is taken from each. No classes.
    """

    name = "aisfx"
    sample_rate = SAMPLE_RATE
    dim = EMBEDDING_DIM
    classes = 0
    source = "PyPI aisfx 0.1.2 (Ma and Lerch 2022), CC BY 4.0"

    def __init__(self, folder: Path | None = None, *, device: str | torch.device = "cpu") -> None:
        """folder: an aiSFX encoder's; mini's if none is given. Raises BundleError if it is none."""
        folder = folder or EMBEDDED["mini"] / "audio_encoder"
        self._encoder = AisfxEncoder.from_directory(folder, device=device)
        self.sha256 = file_sha256(folder / "model.safetensors")

    def __call__(self, waveform: Float[Tensor, "batch samples"]) -> Heard:
        """(B, S) at 44.1 kHz -> embeddings (B, N, 512). Raises AudioError if a sample is not finite."""
        return Heard(embeddings=self._encoder.block_embeddings(waveform, SAMPLE_RATE) - self._encoder.mean.float())
