"""`echoframe evaluate` under each protocol: all systems and baselines on the clips that all of them have.

    python judged.py --work WORK [--device auto]

writes WORK/judged/PROTOCOL/. Where no judge of a protocol has weights there is no such folder, and the table says so.
"""

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clip_lists import link_files
from echoframe.apps import cli
from echoframe.data.clip_list import row_named
from echoframe.errors import EchoFrameError
from echoframe.evaluation.protocols import find_protocol
from echoframe.evaluation.sounds import find_sounds
from settings import NEED_WEIGHTS, read

JUDGED_IN_PART = 1  # some file was dropped, and the evaluation names it


def name_here(stem: str) -> str:
    """A sound's name as its clip is called here, whatever others call it: ID_30000_40000.s1 is ID_000030.s1."""
    clip, dot, seed = stem.rpartition(".s")
    return f"{row_named(clip).key}{dot}{seed}" if dot and seed.isdecimal() else row_named(stem).key


def baseline(name: str, folder: Path, work: Path) -> Path:
    """The folder's sounds under the clips' names."""
    place = work / "baselines" / name.replace("/", "_")
    place.parent.mkdir(exist_ok=True)
    link_files({f"{name_here(stem)}{path.suffix.lower()}": path for stem, path in find_sounds(folder).items()}, place)
    return place


def command(protocol: str, judging: dict[str, Any], folders: dict[str, Path], work: Path, device: str) -> list[str]:
    """The words after `echoframe`; none where all judges of the protocol need weights, and none has them."""
    judges = find_protocol(protocol).judges
    weights = [f"{name}={path}" for name, path in judging["weights"].items() if name in judges]
    if not weights and NEED_WEIGHTS.issuperset(judges):
        return []
    return [
        *("evaluate", "--protocol", protocol, "--reference", str(work / "test"), "--clips", str(work / "test.csv")),
        *("--generated", *(f"{name}={folder}" for name, folder in folders.items())),
        *(["--weights", *weights] if weights else []),
        *("--device", device, "--draws", str(judging["draws"]), "--out", str(work / "judged" / protocol)),
        *("--cache", str(work / "features")),
    ]


def main(words: list[str] | None = None, run: Callable[[list[str]], int] = cli.main) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args(words)
    work, judging = args.work, read(args.work, "judging.json")
    shutil.rmtree(work / "judged", ignore_errors=True)
    folders = {name: work / "sounds" / name for name in judging["systems"]}
    folders |= {name: baseline(name, Path(path), work) for name, path in judging["baselines"].items()}
    for protocol in judging["protocols"]:
        asked = command(protocol, judging, folders, work, args.device)
        if not asked:
            print(f"protocol {protocol}: not judged, as no judge has weights; echoframe evaluate pull {protocol}")
        elif (code := run(asked)) not in (0, JUDGED_IN_PART):
            return code
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EchoFrameError as error:
        sys.exit(f"first_report: {error}")
