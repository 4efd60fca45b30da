"""Drawn clips as an embedding set: what `echoframe train` reads, for mini's two spaces.

    python embeddings.py [--out work/embeddings] [--train 100] [--val 15]

So many clips of every label that ImageNet can show and that the split has: visual embeddings as mapper.py draws them
(4 frames of class probabilities), audio embeddings of stretches of the label's recordings. The split is that of the
recordings: no sound of a validation clip was trained on. Written whole or not at all.
"""

import argparse
import shutil
from pathlib import Path

import torch

from echoframe.data.embedding_manifest import EncoderFacts, SetManifest, SourceFacts
from echoframe.data.embedding_set import Counts, Row, Shape, plan_shards, write_manifest, write_shard
from echoframe.data.sources import Item
from echoframe.output import atomic_folder
from echoframe.spec import ClipSpec
from flow import Scenes
from mapper import DrawnClips, load_clips

HERE = Path(__file__).parent
SHARD = 1000
VISUAL_SPACE, AUDIO_SPACE = "efficientnet_lite0/probabilities", "aisfx/centred"


def draw(clips: DrawnClips, per_label: int, split: str, seed: int) -> tuple[list[Item], list[Row]]:
    """`per_label` clips of each label of a split, in random order."""
    generator = torch.Generator().manual_seed(seed)
    items, rows, counts = [], [], dict.fromkeys(clips.shown.tolist(), 0)
    while min(counts.values()) < per_label:
        visual, mask, target, label = clips.batch(1000, generator)
        for i, one in enumerate(label.tolist()):
            if counts[one] < per_label:
                counts[one] += 1
                key = f"{split}-{len(items):06d}"
                items.append(Item(key=key, file="", label=clips.labels[one], split=split, youtube_id=key))
                rows.append(
                    Row(visual=visual[i].half().numpy(), mask=mask[i].numpy(), audio=target[i].numpy(), duration_s=10.0)
                )
    return items, rows


def write_embeddings(work: Path, out: Path, *, n_train: int, n_val: int, seed: int = 0) -> Path:
    """The set of drawn clips of the corpus in `work`; the same seed gives the same set."""
    items, rows = [], []
    train = Scenes(work)
    for split, n in (("train", n_train), ("val", n_val)):
        scenes = train if split == "train" else Scenes(work, split)
        more = draw(load_clips(work, scenes), n, split, seed)
        items, rows = items + more[0], rows + more[1]
    n_frames, visual_dim = rows[0].visual.shape
    shape = Shape(n_frames=n_frames, visual_dim=visual_dim, audio_dim=len(rows[0].audio))
    sees = EncoderFacts(
        kind="efficientnet_lite",
        source="drawn by recipes/mini",
        licence="Apache-2.0",
        space=VISUAL_SPACE,
        dim=shape.visual_dim,
    )
    hears = EncoderFacts(
        kind="aisfx", source="PyPI aisfx 0.1.2", licence="CC-BY-4.0", space=AUDIO_SPACE, dim=shape.audio_dim
    )
    manifest = SetManifest(
        encoders={"visual_encoder": sees, "audio_encoder": hears},
        clip=ClipSpec(n_frames=n_frames, frame_rate=n_frames / 10),
        source=SourceFacts(kind="drawn", clips=len(items), sha256=f"seed {seed}"),
        shard_clips=SHARD,
    )
    with atomic_folder(out) as partial:
        for n, shard in enumerate(plan_shards(partial, items, SHARD)):
            write_shard(shard, rows[n * SHARD : (n + 1) * SHARD], shape)
        write_manifest(partial, manifest, Counts(n_done=len(items), failed=[], n_left=0))
        shutil.rmtree(out, ignore_errors=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--out", type=Path, help="[WORK/embeddings]")
    parser.add_argument("--train", type=int, default=100, help="clips of each label [100]")
    parser.add_argument("--val", type=int, default=15, help="clips of each label [15]")
    args = parser.parse_args()
    print(write_embeddings(args.work, args.out or args.work / "embeddings", n_train=args.train, n_val=args.val))


if __name__ == "__main__":
    main()
