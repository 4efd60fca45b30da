"""Which mapper suits mini: every kind, loss and prior on the drawn clips, several seeds each, and the bounds.

    python compare_mappers.py [--seeds 5] [--epochs 15] [--size small] [--only WORD ...]

Writes WORK/embeddings (embeddings.py) and WORK/runs, then WORK/runs/compare.md, .json and .png (`echoframe compare`).
Runs that are there already are not trained again.
"""

import argparse
from pathlib import Path
from typing import Any

from echoframe.config import from_dict
from echoframe.training.compare import compare, name_of
from echoframe.training.config import TrainConfig
from echoframe.training.report import markdown, write_report
from echoframe.training.train import train
from embeddings import write_embeddings

HERE = Path(__file__).parent
KINDS = ("mlp", "residual_mlp", "bilstm", "transformer")
LOSSES = {
    "mse": {"mse": 1.0},
    "cosine": {"mse": 0.0, "cosine": 1.0},
    "contrastive": {"mse": 0.0, "contrastive": 1.0},
    "both": {"mse": 1.0, "contrastive": 0.3},
}
BEYOND: dict[str, dict[str, Any]] = {
    "attention": {"mapper": {"pooling": "attention"}},
    "whitened-visual": {"mapper": {"visual_scaling": "whiten"}},
    "whitened-audio": {"mapper": {"audio_scaling": "whiten"}},
    "centred-audio": {"mapper": {"audio_scaling": "centre"}},
    "prior-1": {"prior": {"guidance": 1.0}},
    "prior-2": {"prior": {"guidance": 2.0}},
    "prior-5-middle": {"prior": {"guidance": 5.0, "guided_levels": [0.3, 0.7]}},
}


def variants() -> dict[str, dict[str, Any]]:
    """What differs from the defaults, by the name of the run's folder."""
    plain = {f"{kind}-{loss}": {"mapper": {"kind": kind}, "loss": LOSSES[loss]} for kind in KINDS for loss in LOSSES}
    return plain | {f"residual_mlp-{name}": changes for name, changes in BEYOND.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=float, default=15)
    parser.add_argument("--size", default="small")
    parser.add_argument("--only", nargs="+", default=[""], help="variants whose name holds one of these")
    args = parser.parse_args()
    data, runs = args.work / "embeddings", args.work / "runs"
    if not data.exists():
        write_embeddings(args.work, data, n_train=100, n_val=15)
    for seed in range(args.seeds):
        for name, changes in variants().items():
            if not any(word in name for word in args.only):
                continue
            values = {"data": [str(data)], "out": str(runs / f"{name}-{seed}"), "epochs": args.epochs, "seed": seed}
            values |= {"device": "cpu", "ema": 0.99} | changes
            values["mapper"] = {"size": args.size} | changes.get("mapper", {})
            config = from_dict(TrainConfig, values, name=name)
            found = train(config, resume=(runs / f"{name}-{seed}").exists())
            figures = found.figures
            print(
                f"{name}, seed {seed} ({name_of(config)}): cosine {figures.cosine:.3f}, R@10 {figures.recall_10:.3f}, "
                f"step {found.step} of {found.steps}, {found.seconds:.0f} s",
                flush=True,
            )
    table = compare([runs])
    write_report(table, runs)
    print(markdown(table))


if __name__ == "__main__":
    main()
