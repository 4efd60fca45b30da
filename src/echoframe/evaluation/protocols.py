"""Protocols: which figures, by which judges, on which part of a sound. A figure is only comparable within one protocol.

*Sources*: av-benchmark: hkchengrex/av-benchmark at 050a5cd, as MMAudio's table. audioldm_eval: the PyPI package 0.0.3,
eval.py, datasets/load_mel.py, metrics/kl.py, metrics/isc.py. specvqgan: v-iashin/SpecVQGAN at 33c601d. seed: EchoFrame's
first report names FAD by VGGish and MKL by PaSST and no more: the rest is as in frechet_audio_distance and av-benchmark.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from echoframe.errors import InputError
from echoframe.evaluation.sounds import Listening

Kind = Literal[
    "frechet",
    "frechet infinity",
    "kernel",
    "precision",
    "recall",
    "density",
    "coverage",
    "inception",
    "kl",
    "agreement",
    "class hit",
    "class divergence",
    "label hit",
    "label accuracy",
    "cosine",
    "recall at",
    "clap",
    "onset f1",
    "envelope correlation",
    "lag",
    "motion correlation",
]
# headings over the columns of a page
GROUPS: Mapping[str, tuple[Kind, ...]] = {
    "distance of the sets": ("frechet", "frechet infinity", "kernel"),
    "spread of the sets": ("precision", "recall", "density", "coverage", "inception"),
    "what is heard": (
        *("kl", "agreement", "class hit", "class divergence", "label hit", "label accuracy"),
        *("cosine", "recall at", "clap"),
    ),
    "when it is heard": ("onset f1", "envelope correlation", "lag", "motion correlation"),
}
NEEDS_LABELS = ("label accuracy", "clap", "label hit")
NEEDS_FILMS = ("motion correlation",)
WHOLE_S = 60.0  # where a protocol cuts nothing, and longer sounds would not be clips any more
TIMED = ("onset f1", "envelope correlation", "lag", "motion correlation")


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One column. judge: "" for those of time. windows: "each" pools every window of every sound, "mean" takes one mean a
    sound. variant: of the formula, where it has some. at: k of recall, seconds of an onset's tolerance.
    """

    key: str
    title: str
    kind: Kind
    judge: str = ""
    better: Literal["higher", "lower"] = "lower"
    digits: int = 3
    windows: Literal["mean", "each"] = "mean"
    variant: str = ""
    at: float = 0.0
    about: str = ""

    @property
    def group(self) -> str:
        """What it tells of."""
        return next(name for name, kinds in GROUPS.items() if self.kind in kinds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """name, what it is good for, how it listens (and how for single judges), and its figures in the table's order."""

    name: str
    about: str
    listening: Listening
    figures: tuple[Figure, ...]
    listening_for: Mapping[str, Listening] = field(default_factory=dict)

    @property
    def judges(self) -> tuple[str, ...]:
        """Names of the judges it needs, each once."""
        return tuple(dict.fromkeys(figure.judge for figure in self.figures if figure.judge))


def _frechet(judge: str, key: str, title: str, about: str, *, windows: Literal["mean", "each"] = "mean") -> Figure:
    return Figure(key=key, title=title, kind="frechet", judge=judge, digits=2, windows=windows, about=about)


def _kl(judge: str, key: str, title: str, about: str, variant: str = "softmax") -> Figure:
    return Figure(key=key, title=title, kind="kl", judge=judge, digits=2, variant=variant, about=about)


def _inception(judge: str, key: str, title: str, variant: str = "2020") -> Figure:
    about = f"inception score of the {judge} classes, 10 parts after numpy's permutation of seed {variant}, mean of the parts"
    return Figure(
        key=key, title=title, kind="inception", judge=judge, better="higher", digits=2, variant=variant, about=about
    )


_SOFTMAX = "KL(reference || generated) of the softmax over all classes, in nats, mean over clips"
_TIME = (
    Figure(
        key="onset_f1_50",
        title="onset F1, 50 ms",
        kind="onset f1",
        better="higher",
        at=0.05,
        about="onsets matched one to one within 50 ms; of clips that have any, in one sound or both",
    ),
    Figure(
        key="onset_f1_100",
        title="onset F1, 100 ms",
        kind="onset f1",
        better="higher",
        at=0.1,
        about="onsets matched one to one within 100 ms; of clips that have any, in one sound or both",
    ),
    Figure(
        key="envelope",
        title="envelope r",
        kind="envelope correlation",
        better="higher",
        about="Pearson correlation of the loudness envelopes, in dB, without a shift",
    ),
    Figure(
        key="lag",
        title="lag, s",
        kind="lag",
        about="size of the shift, up to 1 s, at which the loudness envelopes fit best",
    ),
    Figure(
        key="motion",
        title="motion r",
        kind="motion correlation",
        better="higher",
        about="Pearson correlation of the sound's onset strength with what moves in the video",
    ),
)

ECHOFRAME = Protocol(
    name="echoframe",
    about="needs no download: aiSFX, which ships with mini, and time alignment without a model; ten seconds",
    listening=Listening(clip_s=10.0),
    figures=(
        _frechet("aisfx", "fd", "FD aiSFX", "Frechet distance of the sounds' mean embeddings"),
        Figure(
            key="kad",
            title="KAD aiSFX",
            kind="kernel",
            judge="aisfx",
            digits=2,
            about="unbiased kernel distance of the sounds' mean embeddings, as KAD",
        ),
        Figure(
            key="coverage",
            title="coverage",
            kind="coverage",
            judge="aisfx",
            better="higher",
            about="share of the references with a generated sound among their 5 nearest (Naeem et al. 2020)",
        ),
        Figure(
            key="cosine",
            title="cosine aiSFX",
            kind="cosine",
            judge="aisfx",
            better="higher",
            about="of the sound's centred mean embedding with its own reference's",
        ),
        Figure(
            key="recall_1",
            title="R@1",
            kind="recall at",
            judge="aisfx",
            better="higher",
            at=1,
            about="share of sounds whose own reference is the nearest of all references",
        ),
        Figure(
            key="recall_10",
            title="R@10",
            kind="recall at",
            judge="aisfx",
            better="higher",
            at=10,
            about="share of sounds whose own reference is among the 10 nearest of all references",
        ),
        Figure(
            key="label",
            title="label accuracy",
            kind="label accuracy",
            judge="aisfx",
            better="higher",
            about="share of sounds nearest to the mean of their label's references, the clip's own left out if it can be",
        ),
        *_TIME,
    ),
)

AV_BENCHMARK = Protocol(
    name="av-benchmark",
    about="MMAudio's table: first 8 s, mean of channels, their mean taken away",
    listening=Listening(clip_s=8.0, centred=True),
    figures=(
        _frechet(
            "vggish",
            "fd_vgg",
            "FD VGGish",
            "Frechet distance of all 0.96-s patches, VGGish without last ReLU and PCA",
            windows="each",
        ),
        _frechet("panns-16k", "fd_panns", "FD PANNs", "Frechet distance of Cnn14_16k's 2048 numbers"),
        _frechet("passt", "fd_passt", "FD PaSST", "Frechet distance of PaSST's 768 numbers, 32 kHz, padded to 10 s"),
        _kl("panns-16k", "kl_panns", "KL PANNs", f"Cnn14_16k: {_SOFTMAX}"),
        _kl("passt", "kl_passt", "KL PaSST", f"PaSST's first 527 logits: {_SOFTMAX}"),
        _inception("panns-16k", "is_panns", "IS PANNs"),
        _inception("passt", "is_passt", "IS PaSST"),
    ),
)

AUDIOLDM_EVAL = Protocol(
    name="audioldm_eval",
    about="AudioLDM's: the whole sound, 16 kHz; FAD hears the mean of the channels, the others the first without its mean",
    listening=Listening(clip_s=WHOLE_S, channels="first", centred=True),
    listening_for={"vggish": Listening(clip_s=WHOLE_S)},  # its FAD reads files by other code than the rest
    figures=(
        _frechet(
            "vggish",
            "fad",
            "FAD",
            "Frechet distance of all 0.96-s patches, VGGish without last ReLU and PCA",
            windows="each",
        ),
        _frechet("panns-16k", "fd", "FD", "Frechet distance of Cnn14_16k's 2048 numbers"),
        _kl("panns-16k", "kl_softmax", "KL softmax", f"Cnn14_16k, log(p + 1e-6): {_SOFTMAX}", "audioldm softmax"),
        _kl(
            "panns-16k",
            "kl_sigmoid",
            "KL sigmoid",
            "Cnn14_16k: sum over classes of p log(p / (q + 1e-6)) of the sigmoids, mean over clips; no true divergence",
            "audioldm sigmoid",
        ),
        _inception("panns-16k", "is", "IS"),
    ),
)

SEED = Protocol(
    name="seed",
    about="FAD and MKL as EchoFrame's first report names them: VGGish and PaSST on ten seconds",
    listening=Listening(clip_s=10.0),
    figures=(
        _frechet(
            "vggish",
            "fad",
            "FAD",
            "Frechet distance of all 0.96-s patches, VGGish without last ReLU and PCA",
            windows="each",
        ),
        _kl("passt", "mkl", "MKL", f"PaSST's first 527 logits: {_SOFTMAX}"),
    ),
)

SPECVQGAN = Protocol(
    name="specvqgan",
    about="SpecVQGAN's, Im2Wav's and Diff-Foley's FID and MKL: Melception, VGGSound's 309 classes, 22.05 kHz, ten seconds",
    listening=Listening(clip_s=10.0),
    figures=(
        _frechet("melception", "fid", "FID", "Frechet distance of Melception's 2048 numbers"),
        _kl("melception", "mkl", "MKL", f"Melception's 309 classes, log(p + 1e-6): {_SOFTMAX}", "audioldm softmax"),
    ),
)


def _near(judge: str, key: str, title: str, kind: Kind, about: str, *, at: float = 0.0) -> Figure:
    return Figure(key=key, title=title, kind=kind, judge=judge, better="higher", at=at, about=about)


CLAP = Protocol(
    name="clap",
    about="words: ten seconds at 48 kHz by the CLAP that is given",
    listening=Listening(clip_s=10.0),
    figures=(
        _near("clap", "score", "CLAP score", "clap", "cosine of the sound with the words of its clip's label"),
        _near("clap", "cosine", "cosine CLAP", "cosine", "of the sound's embedding with its own reference's"),
        _near(
            "clap",
            "recall_10",
            "R@10",
            "recall at",
            "share of sounds whose own reference is among the 10 nearest of all references",
            at=10,
        ),
        _frechet("clap", "fd", "FD CLAP", "Frechet distance of the sounds' embeddings"),
    ),
)

_BALLS = "by balls that reach to the 5th neighbour"
SETS = Protocol(
    name="sets",
    about="two sets of sounds, paired or not (--unpaired): aiSFX, which ships with mini; ten seconds",
    listening=Listening(clip_s=10.0),
    figures=(
        *(figure for figure in ECHOFRAME.figures if figure.key in ("fd", "kad")),
        Figure(
            key="fd_inf",
            title="FD aiSFX, n = inf",
            kind="frechet infinity",
            judge="aisfx",
            digits=2,
            about="Frechet distance extrapolated over 1/n of both sets; mean of 8 lines of 10 parts",
        ),
        _near("aisfx", "precision", "precision", "precision", f"share of sounds in a reference's ball, {_BALLS}"),
        _near("aisfx", "recall", "recall", "recall", f"share of references in a generated sound's ball, {_BALLS}"),
        _near(
            "aisfx", "density", "density", "density", f"in how many references' balls a sound lies, over 5, {_BALLS}"
        ),
        *(figure for figure in ECHOFRAME.figures if figure.key == "coverage"),
    ),
)

YAMNET = Protocol(
    name="yamnet",
    about="whether an ear that no training here knew hears the right thing: YAMNet's 521 classes, the whole sound, 16 kHz",
    listening=Listening(clip_s=WHOLE_S),
    figures=(
        _near(
            "yamnet",
            "hit",
            "agreement hit",
            "class hit",
            "share of sounds with one of the reference's two best classes among their five best; generic ones do not count",
        ),
        Figure(
            key="kl",
            title="agreement KL",
            kind="class divergence",
            judge="yamnet",
            digits=2,
            about="KL(reference || generated) of the mean class scores plus 1e-4, over their sum, in nats, mean over clips",
        ),
        _near(
            "yamnet",
            "label_hit",
            "label hit",
            "label hit",
            "share of sounds with a class that the table gives their label among their five best; generic ones do not count",
        ),
    ),
)

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (ECHOFRAME, SETS, CLAP, AV_BENCHMARK, AUDIOLDM_EVAL, SPECVQGAN, SEED, YAMNET)
}


def find_protocol(name: str) -> Protocol:
    """The protocol of that name. Raises InputError if there is none."""
    if name not in PROTOCOLS:
        raise InputError(f'"{name}" is not a protocol; expected one of {", ".join(PROTOCOLS)}')
    return PROTOCOLS[name]
