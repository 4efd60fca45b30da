"""Three short films beside a tiny bundle, and what lies in a folder: for tests of many clips."""

from fractions import Fraction
from pathlib import Path

from planted_video import write_video
from tiny_bundles import write_tiny_mini


def write_films(folder: Path) -> Path:
    """one.mp4, two.mp4 and six.mp4, of half a second and a little more, and the bundle tiny; gives the folder."""
    for i, name in enumerate(("one", "two", "six")):
        write_video(folder / f"{name}.mp4", n_frames=5 + i, rate=Fraction(10))
    write_tiny_mini(folder / "tiny")
    return folder


def names(folder: Path) -> list[str]:
    """All files in the folder and deeper, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
