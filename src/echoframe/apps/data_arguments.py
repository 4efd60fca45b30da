"""The arguments of `echoframe data` and `echoframe extract`. Imports nothing heavy: --help has to be quick."""

import argparse
from collections.abc import Callable


def _run(name: str) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        from echoframe.apps import data

        return getattr(data, name)(args)

    return run


def add_data(parser: argparse.ArgumentParser) -> None:
    """The subcommands of `echoframe data`."""
    parser.description = "VGGSound and sets like it: from a list of clips to a published dataset."
    commands = parser.add_subparsers(dest="what", metavar="COMMAND", required=True)
    for name, about, arguments in (
        ("download", "fetch the clips of a list, or of an organised mirror; run it again to go on", _download),
        ("adopt", "take in clips that are on this machine under names like ID_000030.mp4", _adopt),
        ("verify", "decode every clip to its end and say what is wrong", _verify),
        ("repair", "bring every clip to ten seconds, one container, one codec; put broken ones aside", _verify),
        ("stats", "what there is and what is lost: table, picture, JSON", _stats),
        ("split", "train, val and test without one film on two sides", _split),
        ("pack", "WebDataset tars", _pack),
        ("unpack", "clips out of tars", _unpack),
        ("publish", "a dataset repository for the Hugging Face hub", _publish),
    ):
        command = commands.add_parser(name, help=about, description=about)
        arguments(command.add_argument)
        command.add_argument("--quiet", action="store_true", help="no word on the way")
        command.add_argument("--debug", action="store_true", help="show where a failure came from")
        command.set_defaults(run=_run(name))


def add_extract(parser: argparse.ArgumentParser) -> None:
    """The arguments of `echoframe extract`."""
    parser.description = "Visual and audio embeddings of every clip, from one decode of each, as Parquet shards."
    add = parser.add_argument
    add("source", metavar="SOURCE", help="a clip folder, a folder of films, a tar or a folder of tars")
    add("-o", "--out", required=True, metavar="DIR", help="the embeddings' folder; run it again to go on")
    add(
        "--model", default="mini", metavar="NAME", help="whose encoders: a known model, a bundle or a repository [mini]"
    )
    add("--shard-clips", type=int, default=1000, metavar="N", help="clips in a shard [1000]")
    add("--workers", type=int, metavar="N", help="decoders at once; 0 is one plain loop without Ray [all cores]")
    add("--ray-address", metavar="ADDRESS", help="of a running Ray cluster [this machine]")
    add("--retry", default="", metavar="STAGES", help="read,decode,encode: try these failures again [none]")
    add("--max-failed", type=float, default=0.05, metavar="SHARE", help="more failures than this end with 1 [0.05]")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, mps [auto]")
    add("--dtype", default="auto", metavar="NAME", help="auto, float32, float16, bfloat16 [auto]")
    add("--quiet", action="store_true", help="no word on the way")
    add("--debug", action="store_true", help="show where a failure came from")
    parser.set_defaults(run=_run("extract"), what="extract")


def _download(add: Callable[..., object]) -> None:
    add("list", nargs="?", metavar="LIST", help="vggsound.csv (id, start, label, split), or names and labels")
    add("-o", "--out", required=True, metavar="DIR", help="the clip folder")
    add("--from-hub", metavar="REPO", help="a dataset repository with tars of clips, instead of a list")
    add("--retry", default="", metavar="REASONS", help="lost clips to try again: network,rate-limited,... or temporary")
    add("--workers", type=int, default=4, metavar="N", help="downloads at once [4]")
    add("--rate", type=float, metavar="N", help="downloads a minute at most [as many as can]")
    add("--tries", type=int, default=3, metavar="N", help="of a clip, for what passes by itself [3]")
    add("--sleep", type=float, default=0.0, metavar="S", help="seconds before each download [0]")
    add("--cookies", metavar="FILE", help="a Netscape cookies.txt")
    add("--cookies-from-browser", metavar="NAME", help="firefox, chrome, ...")
    add("--proxy", metavar="URL", help="http:// or socks5://")
    add("--format", metavar="TEXT", help="yt-dlp's words for the streams to take [360 lines or more, best sound]")
    add("--url", metavar="TEMPLATE", help="another site's address of a film, with {id} in it [YouTube's]")


def _adopt(add: Callable[..., object]) -> None:
    add("source", metavar="SOURCE", help="a folder of clips")
    add("-o", "--out", required=True, metavar="DIR", help="the clip folder")
    add("--list", metavar="LIST", help="labels and splits; clips that are not in it stay out")
    add("--move", action="store_true", help="move the files instead of linking or copying them")


def _verify(add: Callable[..., object]) -> None:
    add("folder", metavar="DIR", help="the clip folder")
    add("--workers", type=int, default=1, metavar="N", help="clips at once [1]")


def _stats(add: Callable[..., object]) -> None:
    add("folder", metavar="DIR", help="the clip folder")
    add("--list", metavar="LIST", help="the official list, to see what is missing")
    add("--json", metavar="FILE", help="all figures")
    add("--png", metavar="FILE", help="a picture of them")


def _split(add: Callable[..., object]) -> None:
    add("list", metavar="LIST", help="clips and labels; test stays test")
    add("-o", "--out", required=True, metavar="CSV", help="the new list")
    add("--val-share", type=float, default=0.05, metavar="SHARE", help="of the films in train [0.05]")
    add("--seed", type=int, default=0, metavar="N", help="another number, another val [0]")


def _pack(add: Callable[..., object]) -> None:
    add("folder", metavar="DIR", help="the clip folder")
    add("-o", "--out", required=True, metavar="DIR", help="the tars' folder")
    add("--shard-bytes", type=int, default=1_000_000_000, metavar="N", help="of a tar, at most [1000000000]")


def _unpack(add: Callable[..., object]) -> None:
    add("source", metavar="SOURCE", help="a tar or a folder of tars")
    add("-o", "--out", required=True, metavar="DIR", help="the clip folder")


def _publish(add: Callable[..., object]) -> None:
    add("folder", metavar="DIR", help="the clip folder")
    add("repo", metavar="REPO", help="name/dataset on the hub")
    add("-o", "--out", required=True, metavar="OUT", help="the repository's folder, made here first")
    add("--embeddings", metavar="DIR", help="what echoframe extract wrote")
    add("--tars", metavar="DIR", help="what echoframe data pack wrote")
    add("--title", default="VGGSound, embedded", metavar="TEXT", help="of the dataset's card")
    add("--dry-run", action="store_true", help="write the folder, upload nothing")
