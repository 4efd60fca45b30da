"""How much the two readings of AudioLDM's attention_head_dim differ: full-size UNets, random weights, one prediction.

    PYTHONPATH=tests python benchmarks/attention_heads.py --sizes s

Prints, for each size, the heads of the blocks in the original code, and the root mean square of the difference between
its prediction and that of 8 heads everywhere, as a share of the prediction's own. With trained weights it is another
number: `echoframe models check audioldm-s --sounds FILE ...` says which reading predicts noise better.
"""

import argparse

import torch

from echoframe.generators.attention_heads import HEAD_WIDTHS, PUBLISHED, original_heads, set_heads
from full_size import build_unet

SIZES = dict(zip("sml", HEAD_WIDTHS, strict=True))


@torch.no_grad()
def difference(channels: tuple[int, ...], frames: int) -> tuple[tuple[int, ...], float]:
    """The original's heads, and how far the two predictions lie apart. frames: of latents, 25 a second."""
    torch.manual_seed(0)
    unet = build_unet(channels).eval()
    heads = original_heads({"block_out_channels": channels, "attention_head_dim": PUBLISHED})
    assert heads is not None
    latents, condition = torch.randn(1, 8, frames, 16), torch.nn.functional.normalize(torch.randn(1, 512), dim=-1)
    said = []
    for reading in (heads, (PUBLISHED,) * len(channels)):
        set_heads(unet, dict(zip(channels, reading, strict=True)))
        said.append(unet(latents, 500, None, class_labels=condition)[0])  # type: ignore[arg-type]
    return heads, float((said[0] - said[1]).norm() / said[0].norm())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["s"])
    parser.add_argument("--frames", type=int, default=256, help="of latents; 256 are 10.24 s")
    args = parser.parse_args()
    for size in args.sizes:
        heads, apart = difference(SIZES[size], args.frames)
        print(f"{size}: {', '.join(map(str, heads))} heads against {PUBLISHED}: {apart:.3%} of the prediction")


if __name__ == "__main__":
    main()
