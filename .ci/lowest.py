"""Prints constraints-lowest.txt: the oldest versions that pyproject.toml allows, but for torch, which has its one pin.

python .ci/lowest.py > constraints-lowest.txt
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
BOUND = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)")


def main() -> None:
    values = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, tests = values["project"], values["dependency-groups"]["tests"]
    lists = [project["dependencies"], *project["optional-dependencies"].values(), tests]
    found = {match[1]: match[2] for each in lists for text in each if (match := BOUND.match(text))}
    print("# Made by .ci/lowest.py from pyproject.toml. torch has the one pin that every environment here uses.")
    print((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()[-1])
    for name in sorted(found.keys() - {"torch"}):
        print(f"{name}=={found[name]}")


if __name__ == "__main__":
    main()
