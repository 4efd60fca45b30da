"""How much guidance, and how many steps, the flow alone is heard right with: a table on validation recordings, as Markdown.

    python choose_guidance.py --shared ../../../shared [--bundle mini] [--guidance 1.5 3 5] [--steps 20 30] [--limit 160]

Each recording's own embedding is the target, nothing is remembered (variation 1), seed 0. The columns are those of
`acceptance.py`'s embeddings, whose recordings are others. Sounds are kept in --work.
"""

import argparse
from pathlib import Path

import torch

from acceptance_bench import Bench, Variant, head
from acceptance_lists import held_out
from acceptance_sounds import COLUMNS, duration, row
from echoframe import load
from echoframe.evaluation.judges.yamnet import YamnetJudge

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="the folder with corpus/ and judges/")
    parser.add_argument("--bundle", default="mini")
    parser.add_argument("--work", type=Path, default=HERE / "work" / "acceptance")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.5, 3.0, 5.0])
    parser.add_argument("--steps", type=int, nargs="+", default=[20])
    parser.add_argument("--limit", type=int, default=160, help="validation recordings at most")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(
        model=load(args.bundle),
        source=args.bundle,
        judge=YamnetJudge(args.shared / "judges" / "yamnet.tflite"),
        shared=args.shared,
        work=args.work,
    )
    chosen = held_out(bench.recordings, args.limit, "val")
    labels = [one.label for one in chosen]
    real = [bench.hear_recording(one) for one in chosen]
    head(f"{len(chosen)} validation recordings of {len(set(labels))} labels, variation 1, seed 0", COLUMNS)
    row(bench, "the real recording (ceiling)", real, real, labels)
    for steps in args.steps:
        for guidance in args.guidance:
            variant = Variant(
                name=f"{steps} steps, guidance {guidance:g}", variation=1.0, guidance=guidance, steps=steps
            )
            made = [
                bench.hear_target(one, heard.embedding, 0, variant, duration(bench, one))
                for one, heard in zip(chosen, real, strict=True)
            ]
            row(bench, variant.name, made, real, labels)


if __name__ == "__main__":
    main()
