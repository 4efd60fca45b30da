"""How far a sound may leave what it began with: a table of variations on validation films, as Markdown.

    python choose_variation.py FILMS --yamnet FILE [--bundle mini] [--variations 0 0.3 0.5 1] [--guidance 1.5] [--seeds 2]

FILMS is a folder of films with their own sound that no table of results uses. Each row has YAMNet's agreement with the
films' own sounds, how far two seeds of one film lie apart, and how far the sounds lie from what is remembered (aiSFX,
1 - cosine). Sounds are kept in --work.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from acceptance_bench import Bench, Variant, head, line, stacked
from acceptance_films import hear_file
from acceptance_pictures import memory_embeddings
from ears import divergences, heard_alike
from echoframe import load
from echoframe.errors import EchoFrameError
from echoframe.evaluation.judges.yamnet import YamnetJudge

HERE = Path(__file__).parent
COLUMNS = ("n", "agreement hit", "KL", "two seeds: 1 - cosine", "to the memory: 1 - cosine")


def row(bench: Bench, films: list[Path], real: np.ndarray, variant: Variant, seeds: int) -> None:
    """One line of the table."""
    made = [stacked([bench.hear_clip(path, seed, variant) for path in films]) for seed in range(seeds)]
    scores, embeddings = (np.concatenate(parts) for parts in zip(*made, strict=True))
    true = np.concatenate([real] * seeds)
    first, second = made[0][1], made[1][1]
    apart = 1 - float((first * second).sum(axis=1).mean())
    remembered = memory_embeddings(bench)
    distance = None if remembered is None else 1 - float((embeddings @ remembered.T).max(axis=1).mean())
    line(variant.name, len(scores), heard_alike(true, scores).mean, divergences(true, scores).mean, apart, distance)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path)
    parser.add_argument("--yamnet", type=Path, required=True)
    parser.add_argument("--bundle", default="mini")
    parser.add_argument("--work", type=Path, default=HERE / "work" / "acceptance")
    parser.add_argument("--variations", type=float, nargs="+", default=[0.0, 0.3, 0.5, 1.0])
    parser.add_argument("--guidance", type=float, help="the bundle's own if not given")
    parser.add_argument("--seeds", type=int, default=2, help="2 at least")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load(args.bundle)
    guidance = args.guidance or model.defaults.guidance
    bench = Bench(
        model=model, source=args.bundle, judge=YamnetJudge(args.yamnet), shared=args.films.parent, work=args.work
    )
    films, heard = [], []
    for path in sorted(args.films.glob("*.mp4")):
        try:
            heard.append(hear_file(bench, path))
            films.append(path)
        except EchoFrameError as error:
            print(error)
    head(f"{len(films)} films, seeds 0 to {args.seeds - 1}, guidance {guidance:g}", COLUMNS)
    real, _ = stacked(heard)
    for variation in args.variations:
        variant = Variant(name=f"variation {variation:g}", variation=variation, guidance=args.guidance)
        row(bench, films, real, variant, args.seeds)


if __name__ == "__main__":
    main()
