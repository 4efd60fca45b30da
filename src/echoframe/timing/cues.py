"""When things happen in a film, as a generator needs to know it: onsets and how much moves.

*Conventions*: times are seconds from the beginning of what the cues describe; strengths and confidences lie in 0 to 1.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, kw_only=True, slots=True)
class Onset:
    """Something is struck.

    Attributes:
        time_s: when, in seconds.
        strength: how much changes then, 1 for the film's strongest onset.
        confidence: how sure it is that something is struck, 0 to 1.
    """

    time_s: float
    strength: float
    confidence: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cues:
    """When things are struck, and how much moves.

    Attributes:
        onsets: rising in time.
        times_s: (T,) when each frame is shown, in seconds.
        activity: (T,) how much moves at each frame beside the camera, 0 and more, in units of the film's contrast.
    """

    onsets: tuple[Onset, ...] = ()
    times_s: Float[np.ndarray, " frames"] = field(default_factory=lambda: np.zeros(0))
    activity: Float[np.ndarray, " frames"] = field(default_factory=lambda: np.zeros(0))

    def between(self, start_s: float, stop_s: float) -> "Cues":
        """What happens from start to stop, with times from the start."""
        first, last = np.searchsorted(self.times_s, (start_s, stop_s))
        return Cues(
            onsets=tuple(
                replace(onset, time_s=onset.time_s - start_s)
                for onset in self.onsets
                if start_s <= onset.time_s < stop_s
            ),
            times_s=self.times_s[first:last] - start_s,
            activity=self.activity[first:last],
        )

    def heeded(self, sync: float) -> tuple[Onset, ...]:
        """The onsets that a sound has to heed: none at 0, all at 1, between those that are sure enough."""
        return tuple(onset for onset in self.onsets if sync > 0 and onset.confidence >= 1 - sync)
