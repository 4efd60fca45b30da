"""Which mapper suits mini: kinds, losses, scalings and priors on drawn clips, several seeds each, and the bounds.

    python compare_mappers.py [--seeds 5] [--epochs 8] [--size small] [--only WORD ...]

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
COSINE = {"mse": 0.0, "cosine": 1.0}
MIDDLE = {"guidance": 5.0, "guided_levels": [0.3, 0.7]}
VARIANTS: dict[str, dict[str, Any]] = {
    **{f"{kind}-mse": {"mapper": {"kind": kind}} for kind in ("mlp", "residual_mlp", "bilstm", "transformer")},
    "mlp-cosine": {"mapper": {"kind": "mlp"}, "loss": COSINE},
    "residual_mlp-cosine": {"loss": COSINE},
    "contrastive": {"loss": {"mse": 0.0, "contrastive": 1.0}},
    "mse-and-contrastive": {"loss": {"mse": 1.0, "contrastive": 0.3}},
    "attention": {"mapper": {"pooling": "attention"}},
    "whitened-visual": {"mapper": {"visual_scaling": "whiten"}},
    "whitened-audio": {"mapper": {"audio_scaling": "whiten"}},
    "whitened-audio-cosine": {"mapper": {"audio_scaling": "whiten"}, "loss": COSINE},
    "whitened-audio-attention": {"mapper": {"audio_scaling": "whiten", "pooling": "attention"}},
    "whitened-audio-contrastive": {
        "mapper": {"audio_scaling": "whiten"},
        "loss": {"mse": 1.0, "contrastive": 1.0},
    },
    "prior-1": {"prior": {"guidance": 1.0}, "loss": COSINE},
    "prior-5-middle": {"prior": MIDDLE, "loss": COSINE},
    "prior-5-whitened": {"prior": MIDDLE, "mapper": {"audio_scaling": "whiten"}},
    "prior-5-whitened-contrastive": {
        "prior": MIDDLE,
        "mapper": {"audio_scaling": "whiten"},
        "loss": {"mse": 1.0, "contrastive": 1.0},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=float, default=8)
    parser.add_argument("--size", default="small")
    parser.add_argument("--only", nargs="+", default=[""], help="variants whose name holds one of these")
    args = parser.parse_args()
    data, runs = args.work / "embeddings", args.work / "runs"
    if not data.exists():
        write_embeddings(args.work, data, n_train=100, n_val=15)
    for seed in range(args.seeds):
        for name, changes in VARIANTS.items():
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
