"""What a studio takes, and its words for what is more."""

import math
from dataclasses import dataclass

from echoframe.errors import InputError

MEGABYTE = 1_000_000
MAX_TAKES = 6  # sounds that are made at one press of the button
MAX_FILES = 50  # films that are taken at once
MOST_IN_LINE = 30  # each waits in a thread of its own


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a studio takes.

    Raises:
        InputError: a limit is out of range.

    Attributes:
        upload_mb: of an upload, in millions of bytes.
        duration_s: of a film, and of a sound.
        queue: how many may wait while a sound is made.
    """

    upload_mb: float = 200.0
    duration_s: float = 600.0
    queue: int = 20

    def __post_init__(self) -> None:
        if not 0 < self.upload_mb < math.inf:
            raise InputError(f"max upload {self.upload_mb:g} MB: expected megabytes above 0")
        if not 0 < self.duration_s < math.inf:
            raise InputError(f"max duration {self.duration_s:g} s: expected seconds above 0")
        if not 0 <= self.queue <= MOST_IN_LINE:
            raise InputError(f"queue {self.queue}: expected 0 to {MOST_IN_LINE} who wait")

    @property
    def upload_bytes(self) -> int:
        """The largest upload."""
        return int(self.upload_mb * MEGABYTE)

    @property
    def too_large(self) -> str:
        """What is said of a larger one."""
        return (
            f"The file is larger than the {self.upload_mb:g} MB that this studio takes. "
            "Cut the film, or save it at a smaller size."
        )

    def check_length(self, name: str, duration_s: float) -> None:
        """Raises InputError for a film, or for a sound that is asked for, that is too long. name: what it is called."""
        if duration_s > self.duration_s:
            raise InputError(
                f"{name}: lasts {clock(duration_s)}, longer than the {clock(self.duration_s)} that this studio takes; "
                "cut it into shorter parts"
            )


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(2400), clock(9.5), clock(1e300)
    ('40:00', '0:10', 'more than 1000 minutes')
    """
    if seconds > 60_000:
        return "more than 1000 minutes"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
