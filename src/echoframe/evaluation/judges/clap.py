"""CLAP as a judge: how near a sound lies to the words of its label, and to its own reference.

*Conventions*: any CLAP in transformers' layout, as laion/clap-htsat-unfused on the hub, heard as in encoders/clap.py: 48 kHz,
ten seconds, shorter sounds repeated. The CLAP score is the cosine of the sound's and the text's unit vectors, as they are,
not centred and not times 100 (Huang et al. 2023, Make-An-Audio, section 4.1). Other weights, other numbers: LAION's and
Microsoft's CLAP do not compare.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.errors import BundleError
from echoframe.evaluation.judges import Heard
from echoframe.output import file_sha256


class ClapJudge:
    """Hears a sound as a whole: one unit vector. No classes; but it reads."""

    name = "clap"
    classes = 0
    source = "a CLAP's folder as on the hub, for example laion/clap-htsat-unfused, Apache-2.0"

    def __init__(self, folder: Path, *, device: str | torch.device = "cpu") -> None:
        """folder: config.json, model.safetensors, preprocessor_config.json, tokenizer. Raises BundleError for another."""
        if not folder.is_dir():
            raise BundleError(
                f"{folder}: no such folder; expected the folder of a CLAP model; echoframe models pull audioldm-s fetches one"
            )
        # imported here: transformers takes seconds, and the other judges do without it
        from echoframe.encoders.clap import ClapAudioEncoder, ClapTextEncoder

        self._sounds = ClapAudioEncoder.from_directory(folder, device=device)
        self._texts = ClapTextEncoder.from_directory(folder, device=device)
        self.sample_rate, self.dim = self._sounds.sample_rate, self._sounds.dim
        self.sha256 = file_sha256(folder / "model.safetensors")

    def __call__(self, waveform: Float[Tensor, "batch samples"]) -> Heard:
        """(B, S) at 48 kHz -> embeddings (B, 1, 512). Raises AudioError if a sample is not finite."""
        return Heard(embeddings=self._sounds(waveform, self.sample_rate)[:, None])

    def read(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        """One unit vector a text, in the sounds' space."""
        return self._texts(texts)
