"""Melception: VGGSound's 309 classes on 80-band mel spectrograms, the judge of SpecVQGAN's FID and MKL.

*Conventions* (v-iashin/SpecVQGAN at 5bc54f3, MIT): 22.05 kHz, cut or filled with zeros at the end to 10 s; magnitudes of a
1024-point STFT, hop 256, Hann, centred (librosa 0.8.0); 80 Slaney bands of 125-7600 Hz and unit area; log10 of at least
1e-5, then (20 x + 80) / 100, clipped to [0, 1] (feature_extraction/extract_mel_spectrogram.py). Of the first 860 frames
the middle 848 are heard (configs/vggsound_transformer.yaml), each band less its mean and over its standard deviation in
VGGSound's training clips. A .wav given to their evaluate.py is not cropped to 848 frames; the references always are, so
here every sound is. The network is torchvision's Inception3 with one input channel and neither of the two early max
poolings (evaluation/feature_extractors/melception.py).

*Metrics* with this judge: FID (evaluation/metrics/fid.py) is the Frechet distance of the 2048 numbers before the last
layer. MKL (evaluation/metrics/kl.py) is sum_c p_c (log p_c - log(q_c + 1e-6)) in nats, p the softmax over all 309 logits
of the reference and q that of the generated sound: KL(reference || generated), q + 1e-6 not scaled back to a sum of 1;
its mean over all generated sounds. Their inception score (evaluation/metrics/isc.py with
evaluation/configs/eval_melception_vggsound.yaml) takes the logits without the last layer's bias: `logits - bias` here.
Published figures were taken before any vocoder: SpecVQGAN's on the spectrograms it generates (the same config), Diff-Foley's
on its own, turned from 128 bands at 16 kHz into these (luosiallen/Diff-Foley at 84ea75a, evaluation/transform_spec.py).
A folder of sounds has been through one, and need not give the same.
"""

from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.encoders import FrozenModule, check_waveform, use_channels_last
from echoframe.evaluation.judges import Heard
from echoframe.evaluation.judges.checkpoint import Published, read_checkpoint
from echoframe.evaluation.judges.melception_network import (
    CLASSES,
    FULL_WIDTH,
    MelceptionNetwork,
    fold_batch_norms,
)
from echoframe.media.audio import mel_filters, pad_or_trim
from echoframe.weights import load_weights

PUBLISHED = Published(
    what="Melception",
    file="melception-21-05-10T09-28-40.pt",
    url=(
        "https://a3s.fi/swift/v1/AUTH_a235c0f452d648828f745589cde1219a/specvqgan_public/melception-21-05-10T09-28-40.pt"
    ),
    digest="md5:a71a41041e945b457c7d3d814bbcf72d",  # as SpecVQGAN's README gives it
    key="model",
)
SAMPLE_RATE = 22_050  # Hz
N_SAMPLES = 10 * SAMPLE_RATE
N_FFT = 1024
HOP_LENGTH = 256
N_MELS = 80
FLOOR = 1e-5
FIRST_FRAME, N_FRAMES = 6, 848  # the middle of 860
SOUNDS_AT_ONCE = 8  # memory stays flat in the batch's size

# The two columns of train_means_stds_melspec_10s_22050hz.txt, read in its copy in karchkha/MelSpec_GPT_VQVAE at dba5260;
# the numbers give the md5 that SpecVQGAN's specvqgan/util.py asks for, f449c6fd0e248936c16f6d22492bb625.
BAND_MEANS = (
    0.51234712, 0.52630101, 0.52002938, 0.51831866, 0.52457265, 0.51129235, 0.51403755, 0.51189406, 0.50142221, 0.50632402,
    0.49724399, 0.49062130, 0.49971113, 0.48442903, 0.48598301, 0.48681630, 0.47436119, 0.48031359, 0.47422810, 0.46369397,
    0.47413055, 0.46062686, 0.45677793, 0.46135474, 0.45246800, 0.45232766, 0.45208386, 0.44351671, 0.44667316, 0.44447692,
    0.43676363, 0.44002381, 0.43772414, 0.43061019, 0.43120828, 0.42603271, 0.42863234, 0.42296206, 0.41733331, 0.41804121,
    0.41605068, 0.40875265, 0.40666997, 0.40407463, 0.40353311, 0.39708031, 0.39375066, 0.39301091, 0.39047117, 0.38461680,
    0.38145284, 0.37985209, 0.37419526, 0.37080597, 0.36786535, 0.36569049, 0.36336079, 0.35775191, 0.35504801, 0.35284816,
    0.34594865, 0.34112312, 0.33784886, 0.33095703, 0.32559461, 0.32003106, 0.31506222, 0.31138077, 0.30403516, 0.29969540,
    0.29578024, 0.28861871, 0.28581686, 0.27922253, 0.27444035, 0.27339468, 0.26571759, 0.26280864, 0.25664202, 0.24853513,
)  # fmt: skip
BAND_STDS = (
    0.08187601, 0.08393201, 0.08533191, 0.08651366, 0.08795700, 0.08924046, 0.09011565, 0.09138965, 0.09215379, 0.09251092,
    0.09356590, 0.09333057, 0.09446411, 0.09400197, 0.09477853, 0.09487848, 0.09424447, 0.09417475, 0.09498061, 0.09362415,
    0.09453825, 0.09481226, 0.09359464, 0.09437913, 0.09384014, 0.09438247, 0.09419720, 0.09340880, 0.09423184, 0.09344461,
    0.09265266, 0.09307925, 0.09299363, 0.09236166, 0.09156491, 0.09161403, 0.09150530, 0.09102536, 0.09048366, 0.09025013,
    0.09078869, 0.08985338, 0.08877566, 0.08961667, 0.08859275, 0.08827818, 0.08833999, 0.08760654, 0.08812327, 0.08782288,
    0.08645484, 0.08718211, 0.08644421, 0.08532454, 0.08592822, 0.08452069, 0.08474272, 0.08476392, 0.08334654, 0.08412110,
    0.08367254, 0.08252251, 0.08320975, 0.08257768, 0.08171253, 0.08204872, 0.08098545, 0.08152917, 0.08209135, 0.08073266,
    0.08225822, 0.08324076, 0.08058489, 0.08515350, 0.08355056, 0.08067638, 0.08536921, 0.08107620, 0.08357468, 0.08556041,
)  # fmt: skip


@lru_cache(maxsize=8)
def _basis(device: str) -> tuple[Tensor, Tensor]:
    filters = mel_filters(
        sample_rate=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS, f_min=125.0, f_max=7600.0, htk=False, norm="slaney"
    )
    return torch.from_numpy(filters).to(device), torch.hann_window(N_FFT, device=device)


def mel_frames(waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch 80 848"]:
    """SpecVQGAN's spectrogram of `waveform` at 22.05 kHz, in [0, 1]: (B, S) -> (B, 80, 848); 0 is -80 dB or less."""
    filters, window = _basis(str(waveform.device))
    padded = pad_or_trim(waveform, N_SAMPLES)
    # librosa 0.8 mirrors the ends; no frame that is heard reaches that far
    spectrum = torch.stft(
        padded, N_FFT, hop_length=HOP_LENGTH, window=window, center=True, pad_mode="reflect", return_complex=True
    )
    magnitude = spectrum[:, :, FIRST_FRAME : FIRST_FRAME + N_FRAMES].abs()
    level = torch.log10(torch.clamp(filters @ magnitude, min=FLOOR))
    return torch.clamp((20.0 * level + 80.0) / 100.0, 0.0, 1.0)


class MelceptionJudge(FrozenModule):
    """Hears ten seconds: one embedding of 2048 numbers, >= 0, and 309 logits. `bias` is the last layer's, (309,)."""

    name = "melception"
    sample_rate = SAMPLE_RATE
    classes = CLASSES
    source = f"v-iashin/SpecVQGAN, MIT: {PUBLISHED.url}"

    def __init__(self, path: Path, *, device: str | torch.device = "cpu", width: int = FULL_WIDTH) -> None:
        """path: SpecVQGAN's checkpoint, or its weights as safetensors under the same names. width: of a smaller relative.

        Raises BundleError if the file is missing or holds anything else.
        """
        super().__init__()
        weights, self.sha256 = read_checkpoint(path, PUBLISHED)
        network = MelceptionNetwork(width=width)
        load_weights(network, path, weights=weights)
        fold_batch_norms(network)
        use_channels_last(network, device)
        self.network, self.dim = network, network.dim
        self.means: Tensor
        self.stds: Tensor
        self.register_buffer("means", torch.tensor(BAND_MEANS)[:, None])
        self.register_buffer("stds", torch.tensor(BAND_STDS)[:, None])
        self.to(device)
        self.freeze()

    @property
    def bias(self) -> Float[Tensor, " classes"]:
        return self.network.fc.bias.detach()

    @torch.no_grad()
    def __call__(self, waveform: Float[Tensor, "batch samples"]) -> Heard:
        """(B, S) in [-1, 1] at 22.05 kHz -> embeddings (B, 1, 2048), logits (B, 309). Raises AudioError if not finite."""
        check_waveform(waveform)
        heard = [self._hear(some) for some in waveform.to(self.means.device, torch.float32).split(SOUNDS_AT_ONCE)]
        embeddings, logits = (torch.cat(parts) for parts in zip(*heard, strict=True))
        return Heard(embeddings=embeddings[:, None], logits=logits)

    def _hear(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        return self.network((mel_frames(waveform) - self.means) / self.stds)
