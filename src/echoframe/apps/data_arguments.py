"""The arguments of `echoframe data` and `echoframe extract`. Imports nothing heavy: --help has to be quick."""

import argparse
from collections.abc import Callable

from echoframe.apps.parser import Parser


def _run(name: str) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        from echoframe.apps import data

        return getattr(data, name)(args)

    return run


def add_data(parser: Parser) -> None:
    """The subcommands of `echoframe data`."""
    parser.description = "VGGSound and sets like it: from a list of clips to a published dataset."
    parser.add_commands("COMMAND", dest="what")
    for name, about, arguments in (
        ("download", "fetch the clips of a list, or of an organised mirror; run it again to go on", _download),
        ("adopt", "take in clips that are on this machine, and their labels", _adopt),
        ("verify", "decode every clip to its end and say what is wrong", _verify),
        ("repair", "bring every clip to ten seconds, one container, one codec; put broken ones aside", _verify),
        ("stats", "what there is and what is lost: table, picture, JSON", _stats),
        ("split", "train, val and test without one video on two sides", _split),
        ("pack", "WebDataset tars", _pack),
        ("unpack", "clips out of tars", _unpack),
        ("publish", "a dataset repository for the Hugging Face hub", _publish),
    ):
        command = parser.add_command(name, about)
        arguments(command.add_argument)
        command.add_argument("--quiet", action="store_true", help="show no progress")
        command.add_argument("--debug", action="store_true", help="show where a failure came from")
        command.set_defaults(run=_run(name))


def add_extract(parser: Parser) -> None:
    """The arguments of `echoframe extract`."""
    parser.description = "Visual and audio embeddings of every clip, from one decode of each, as Parquet shards."
    add = parser.add_argument
    add("source", metavar="SOURCE", help="a clip folder, a folder of videos, a tar or a folder of tars")
    add("-o", "--out", required=True, metavar="DIR", help="the embeddings' folder; run it again to go on")
    add("--model", default="mini", metavar="NAME", help="whose encoders: a known model, a bundle or a repository")
    add("--shard-clips", type=int, default=1000, metavar="N", help="clips in a shard")
    add(
        "--workers",
        type=int,
        metavar="N",
        help="decoders at once; 0 is one plain loop without Ray (default: one a core)",
    )
    add("--ray-address", metavar="ADDRESS", help="address of a running Ray cluster (default: this machine)")
    add("--retry", default="", metavar="STAGES", help="read,decode,encode: try these failures again (default: none)")
    add("--max-failed", type=float, default=0.05, metavar="SHARE", help="more failures than this end with exit code 1")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, mps")
    add("--dtype", default="auto", metavar="NAME", help="auto, float32, float16, bfloat16")
    add("--quiet", action="store_true", help="show no progress")
    add("--debug", action="store_true", help="show where a failure came from")
    parser.set_defaults(run=_run("extract"), what="extract")


def _download(add: Callable[..., object]) -> None:
    add("list", nargs="?", metavar="LIST", help="vggsound.csv (id, start, label, split), or names and labels")
    add("-o", "--out", required=True, metavar="DIR", help="the clip folder")
    add("--from-hub", metavar="REPO", help="a dataset repository with tars of clips, instead of a list")
    add(
        "--retry",
        default="",
        metavar="REASONS",
        help="lost clips to try again: network,rate-limited,... or temporary (default: none)",
    )
    add("--workers", type=int, default=4, metavar="N", help="downloads at once")
    add("--rate", type=float, metavar="N", help="most downloads a minute (default: no limit)")
    add("--tries", type=int, default=3, metavar="N", help="attempts per clip after a temporary error")
    add("--sleep", type=float, default=0.0, metavar="S", help="seconds before each download")
    add("--cookies", metavar="FILE", help="a Netscape cookies.txt")
    add("--cookies-from-browser", metavar="NAME", help="firefox, chrome, ...")
    add("--proxy", metavar="URL", help="http:// or socks5://")
    add(
        "--format", metavar="TEXT", help="streams to take, as yt-dlp writes it (default: 360 lines or more, best sound)"
    )
    add("--url", metavar="TEMPLATE", help="address of a video at another site, with {id} in it (default: YouTube's)")


def _adopt(add: Callable[..., object]) -> None:
    add("source", metavar="SOURCE", help="a folder of clips")
    add("-o", "--out", required=True, metavar="DIR", help="the clip folder")
    add(
        "--list",
        metavar="LIST",
        help="NAME,label[,split] or vggsound.csv; clips not in it stay out, known ones get its labels",
    )
    add("--move", action="store_true", help="move the files instead of linking or copying them")


def _verify(add: Callable[..., object]) -> None:
    add("folder", metavar="DIR", help="the clip folder")
    add("--workers", type=int, default=1, metavar="N", help="clips at once")


def _stats(add: Callable[..., object]) -> None:
    add("folder", metavar="DIR", help="the clip folder")
    add("--list", metavar="LIST", help="the official list, to see what is missing")
    add("--json", metavar="FILE", help="all figures")
    add("--png", metavar="FILE", help="a picture of them")


def _split(add: Callable[..., object]) -> None:
    add("list", metavar="LIST", help="clips and labels; test stays test")
    add("-o", "--out", required=True, metavar="CSV", help="the new list")
    add("--val-share", type=float, default=0.05, metavar="SHARE", help="share of the videos in train that becomes val")
    add("--seed", type=int, default=0, metavar="N", help="another number, another val")


def _pack(add: Callable[..., object]) -> None:
    add("folder", metavar="DIR", help="the clip folder")
    add("-o", "--out", required=True, metavar="DIR", help="the tars' folder")
    add("--shard-bytes", type=int, default=1_000_000_000, metavar="N", help="most bytes of a tar")


def _unpack(add: Callable[..., object]) -> None:
    add("source", metavar="SOURCE", help="a tar or a folder of tars")
    add("-o", "--out", required=True, metavar="DIR", help="the clip folder")


def _publish(add: Callable[..., object]) -> None:
    add("folder", metavar="DIR", help="the clip folder")
    add("repo", metavar="REPO", help="name/dataset on the hub")
    add("-o", "--out", required=True, metavar="OUT", help="the repository's folder, made here first")
    add("--embeddings", metavar="DIR", help="what echoframe extract wrote")
    add("--tars", metavar="DIR", help="what echoframe data pack wrote")
    add("--title", default="", metavar="TEXT", help="title of the dataset's card (default: the name in REPO)")
    add("--dry-run", action="store_true", help="write the folder, upload nothing")
