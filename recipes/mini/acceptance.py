"""The acceptance tables of a bundle, as Markdown: what comes out of the speakers, heard by YAMNet and by aiSFX.

    python acceptance.py --shared ../../../shared [--bundle mini] [--only tokens films ...] [--limit 160]

*Sections*: tokens (held-out recordings to tokens and back), embeddings (sounds from the recordings' own embeddings),
pictures (the test split, and how far two seeds lie apart), films (the twelve beside four published systems), demo (the
dog of `make demo`), cost. Each has n, seeds and judges with its figures, ceiling and floor in the same table, and rows at
variation 0, the default and 1 where the generator knows variation. How the ears judge is said in ears.py. What was heard
is kept in --work, so that a killed run goes on where it was. SHARED holds corpus/, pictures/, peers/, judges/.
"""

import argparse
from pathlib import Path

import torch

import acceptance_cost
import acceptance_films
import acceptance_pictures
import acceptance_sounds
from acceptance_bench import Bench
from echoframe import load
from echoframe.evaluation.judges.yamnet import YamnetJudge

HERE = Path(__file__).parent
SECTIONS = {
    "tokens": acceptance_sounds.tokens,
    "embeddings": acceptance_sounds.embeddings,
    "pictures": acceptance_pictures.pictures,
    "films": acceptance_films.films,
    "demo": acceptance_films.demo,
    "cost": acceptance_cost.cost,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--shared", type=Path, required=True, help="the folder with corpus/, pictures/, peers/, judges/"
    )
    parser.add_argument("--bundle", default="mini", help="a bundle's name or directory")
    parser.add_argument("--yamnet", type=Path, help="its .tflite file [SHARED/judges/yamnet.tflite]")
    parser.add_argument("--work", type=Path, default=HERE / "work" / "acceptance", help="where what was heard is kept")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--limit", type=int, default=160, help="held-out recordings at most")
    parser.add_argument("--pictures", type=int, default=1000, help="test pictures at most")
    parser.add_argument("--seeds", type=int, help="of embeddings and pictures 2, of films 5, of the demo 10")
    parser.add_argument("--threads", type=int, help="torch's own number if not given")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    judge = YamnetJudge(args.yamnet or args.shared / "judges" / "yamnet.tflite")
    bench = Bench(
        model=load(args.bundle),
        source=args.bundle,
        judge=judge,
        shared=args.shared,
        work=args.work,
        limit=args.limit,
        n_pictures=args.pictures,
        seeds=args.seeds,
    )
    print(f"# Acceptance of {bench.model.identity.name} {bench.model.identity.version} ({args.bundle})")
    print(
        f"\nJudges: YAMNet {judge.sha256[:8]}, five best specific classes; aiSFX of the bundle. {bench.on_variation()}"
    )
    for section in args.only:
        SECTIONS[section](bench)


if __name__ == "__main__":
    main()
