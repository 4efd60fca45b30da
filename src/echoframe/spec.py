"""Every number that has a unit and a source, written once."""

from dataclasses import dataclass
from typing import Literal

from echoframe.errors import ConfigError

Sampling = Literal["uniform", "head"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSpec:
    """Which frames of a clip are seen.

    Attributes:
        duration_s: the span of a clip in seconds (VGGSound cuts 10 s).
        frame_rate: frames per second, for "head".
        n_frames: frames per clip.
        sampling: "uniform" spreads the frames over the whole span, frame i at (i + 0.5) * duration_s / n_frames; "head"
            takes them at `frame_rate` from the start, frame i at i / frame_rate.
    """

    duration_s: float = 10.0
    frame_rate: float = 8.0
    n_frames: int = 64  # 64 / 8 = 8 s: with "head" the last 2 s of a VGGSound clip are not seen
    sampling: Sampling = "uniform"

    def __post_init__(self) -> None:
        if self.duration_s <= 0 or self.frame_rate <= 0 or self.n_frames < 1:
            raise ConfigError(
                f"clip spec: duration_s {self.duration_s}, frame_rate {self.frame_rate}, n_frames {self.n_frames}; "
                "all three have to be positive"
            )
        if self.sampling not in ("uniform", "head"):
            raise ConfigError(f'clip spec: sampling "{self.sampling}" is not known; choose "uniform" or "head"')
        span_s = self.n_frames / self.frame_rate
        if self.sampling == "head" and span_s > self.duration_s + 1e-9:
            raise ConfigError(
                f"clip spec: {self.n_frames} frames at {self.frame_rate} fps span {span_s:.1f} s, longer than the "
                f"{self.duration_s}-s clip; lower n_frames or raise duration_s"
            )

    def times_s(self) -> list[float]:
        """The times at which the frames are looked at.

        Returns:
            Seconds from the start of the clip, one number for each frame.

        >>> ClipSpec(n_frames=4).times_s()
        [1.25, 3.75, 6.25, 8.75]
        >>> ClipSpec(n_frames=4, sampling="head").times_s()
        [0.0, 0.125, 0.25, 0.375]
        """
        if self.sampling == "head":
            return [i / self.frame_rate for i in range(self.n_frames)]
        return [(i + 0.5) * self.duration_s / self.n_frames for i in range(self.n_frames)]


@dataclass(frozen=True, kw_only=True, slots=True)
class MelSpec:
    """A log-mel spectrogram: natural log of the Slaney mel of the STFT *magnitude*, floored at 1e-5.

    Defaults are AudioLDM's (haoheliu/AudioLDM `audioldm/utils.py`, default_audioldm_config: 16 kHz, hop 160,
    64 bands from 0 to 8 kHz, 1024-sample window), so that 1024 frames are 10.24 s.
    `offset` and `scale` turn the log-mel into what a VAE was trained on: (log_mel - offset) / scale.
    """

    sample_rate: int = 16_000  # Hz
    n_fft: int = 1024  # samples
    hop_length: int = 160  # samples
    n_mels: int = 64
    f_min: float = 0.0  # Hz
    f_max: float = 8_000.0  # Hz
    floor: float = 1e-5
    offset: float = 0.0
    scale: float = 1.0

    def n_frames(self, n_samples: int) -> int:
        """Frames that `n_samples` samples give.

        >>> MelSpec().n_frames(163_840)
        1024
        """
        return n_samples // self.hop_length


AUDIOLDM_MEL = MelSpec()
# a window of 512 samples: Griffin-Lim finds its phases. Log-mels of real sounds lie in [-11.5, 2]: here [-2.6, 2.8]
MINI_MEL = MelSpec(n_fft=512, offset=-5.0, scale=2.5)
CLAP_SAMPLE_RATE = 48_000  # Hz
CLAP_N_SAMPLES = 480_000  # 10 s; shorter sounds are repeated and padded ("repeatpad")
