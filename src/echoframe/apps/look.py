"""`echoframe look`. All work is in `pipeline`."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from echoframe.apps.options import steering_taken
from echoframe.errors import EchoFrameError
from echoframe.loading import load
from echoframe.media.video import probe

OK = 0


def look(args: argparse.Namespace) -> int:
    """Runs the command. Raises EchoFrameError for what cannot be looked at."""
    try:
        clip = Path(args.clip)
        probe(clip)  # a wrong file is told before the model is loaded
        shots = load(args.model, mapper=args.mapper, device=args.device).look(clip, **steering_taken(args))
    except EchoFrameError as error:
        if args.json:
            print(json.dumps({"clip": args.clip, "status": "failed", "error": str(error)}, ensure_ascii=False))
        raise
    if args.json:
        print(json.dumps({"clip": args.clip, "status": "seen", "shots": [asdict(shot) for shot in shots]}))
        return OK
    print(f"{'shot':>5} {'begins':>9} {'ends':>9}  labels")
    for number, shot in enumerate(shots, 1):
        labels = ", ".join(f"{name} {worth:.2f}" for name, worth in shot.labels)
        print(f"{number:>5} {shot.start_s:>9.2f} {shot.stop_s:>9.2f}  {labels}")
    return OK
