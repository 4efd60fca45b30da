"""The arguments of `echoframe generate`. Imports nothing heavy: --help has to be quick."""

import argparse

from echoframe.apps.options import add_request, add_run, add_writing
from echoframe.apps.parser import Parser


def _run(args: argparse.Namespace) -> int:
    from echoframe.apps import generate

    return 1 if generate.generate(args) else 0


def add_generate(parser: Parser) -> None:
    """The arguments of `echoframe generate`."""
    parser.description = (
        "Makes NAME.wav, for a video NAME.mp4 with the sound in it, and beside each a record, NAME.wav.json, that says how "
        "to make it again. Clips that are done are skipped; an earlier result that was made in another way, as with another "
        "seed, is replaced with --overwrite only. Two clips of the same name cannot share an output folder: that is "
        "refused. A video in the output folder is not overwritten: its copy with sound is NAME.sound.mp4."
    )
    add = parser.add_argument
    about_inputs = (
        "videos and still images, folders of them, or quoted globs; none makes a sound of --prompt or --like alone"
    )
    add("inputs", nargs="*", metavar="CLIP", help=about_inputs)
    about_out = "a folder, made if it is not there, or NAME.wav/.flac/.mp3/.mp4/... (default: this folder)"
    about_list = "a CSV file with a column path, and if wanted seed, duration, out and prompt, in the place of CLIP"
    add("--list", metavar="CSV", help=about_list)
    add("-o", "--out", default=".", metavar="OUT", help=about_out)
    add("--model", metavar="NAME", help="a known model, a bundle's folder or a hub repository (default: mini)")
    about_mapper = "a finished run of echoframe train, or a mapper's folder (default: the model's own mapper)"
    add("--mapper", metavar="FOLDER", help=about_mapper)
    add_request(parser)
    add_run(parser)
    add("--mux", action=argparse.BooleanOptionalAction, help="write the video with its sound (default: yes)")
    add_writing(parser)
    add("--picture", action="store_true", help="draw frames, shots, onsets, spectrogram and nearest labels as NAME.png")
    about_timeline = (
        "write an OpenTimelineIO timeline for editors, the film on one track, its sounds on others: NAME.otio, or for "
        "several sounds a folder"
    )
    add("--timeline", metavar="FILE", help=about_timeline)
    add("--stems", action="store_true", help="with --library, write each layer too: NAME.ambience.wav, NAME.events.wav")
    add("--from", dest="record", metavar="JSON", help="make the same samples again as this JSON says")
    about_ray = "address of a running Ray cluster, or local for one on this machine (default: one plain loop)"
    add("--ray-address", metavar="ADDRESS", help=about_ray)
    add("--device", metavar="NAME", help="auto, cpu, cuda, mps (default: auto)")
    add("--dtype", metavar="NAME", help="auto, float32, float16, bfloat16 (default: auto)")
    add("--json", action="store_true", help="print one line of JSON for each clip to standard output")
    add("--quiet", action="store_true", help="show neither progress nor the names of files, only failures")
    add("--debug", action="store_true", help="show where a failure came from")
    parser.set_defaults(run=_run, mux=True)
