"""A page to hear what is lost where: held-out recordings, the same through codec and Griffin-Lim, and generated.

    python listen.py -o OUT [--limit 24] [--work WORK] [--model mini]

Writes OUT/index.html, which opens from disk, and three sounds for each recording, all at -23 LUFS.
"""

import argparse
import html
from pathlib import Path

import soundfile
import torch

from echoframe import load
from echoframe.media.audio import log_mel
from echoframe.media.loudness import to_loudness
from echoframe.options import TARGET_LUFS
from flow import SCENE_S
from held_out import RATE, HeldOut, embed
from showcase import write_page

HERE = Path(__file__).parent
WAYS = ("real", "codec", "generated")
SECTION = """<section><h2>{label}</h2>
{sounds}
</section>
"""
SOUND = (
    '<p>{way}: cosine to the real one {cosine:.2f}, {right}<br><audio controls preload="none" src="{file}"></audio></p>'
)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--limit", type=int, default=24)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model = load(args.model)
    held_out = HeldOut(args.work, args.limit)
    sections = []
    for n, (row, label) in enumerate(zip(held_out.rows, held_out.labels, strict=True)):
        real = held_out.waveforms([row])
        tokens = model.generator.codec.encode(log_mel(real, model.generator.config.mel).to(model.generator.device))
        made = model.generator.generate(
            held_out.embeddings[n : n + 1], duration_s=SCENE_S, seeds=[row], options=model.defaults
        )
        sounds = []
        for way, sound in zip(WAYS, (real, model.generator.decode(tokens), made), strict=True):
            file = f"{n:03}_{way}.flac"
            soundfile.write(args.out / file, to_loudness(sound.cpu(), RATE, TARGET_LUFS)[0].numpy(), RATE)
            embedding = embed(model, sound)
            top1, top5 = held_out.judge.hits(embedding, [label])
            right = (
                "nearest to its label"
                if top1[0]
                else "its label among the five nearest"
                if top5[0]
                else "its label lost"
            )
            cosine = float(embedding[0] @ held_out.embeddings[n])
            sounds.append(SOUND.format(way=way, cosine=cosine, right=right, file=file))
        sections.append(SECTION.format(label=html.escape(label), sounds="\n".join(sounds)))
        print(f"listen: {n + 1}/{len(held_out.rows)} {label}", flush=True)
    identity = model.identity
    about = (
        f"{identity.name} {identity.version}: held-out recordings, what the codec leaves of them, what is generated."
    )
    write_page(args.out / "index.html", "What is lost where", about, sections)
    print(f"listen: {args.out / 'index.html'}", flush=True)


if __name__ == "__main__":
    main()
