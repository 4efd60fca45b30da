"""`echoframe cues`. All work is in `timing/`."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from echoframe.errors import EchoFrameError, InputError, OutputError
from echoframe.media.video import VideoInfo, probe
from echoframe.output import atomic_files, check_name, check_place
from echoframe.timing.listed import as_csv, as_values, shots_of
from echoframe.timing.otio import as_otio
from echoframe.timing.watch import Watched, watch

OK = 0
SUFFIXES = (".csv", ".otio")


def cues(args: argparse.Namespace) -> int:
    """Runs the command. Raises EchoFrameError for what cannot be watched or written."""
    try:
        return _cues(args)
    except EchoFrameError as error:
        if args.json:
            print(json.dumps({"clip": args.film, "status": "failed", "error": str(error)}, ensure_ascii=False))
        raise


def _cues(args: argparse.Namespace) -> int:
    film = Path(args.film)
    out = _checked(Path(args.out), film) if args.out else None
    info = probe(film)
    if info.is_still:
        raise InputError(f"{film}: is a still image, in which nothing happens; give a video")
    watched = watch(info)
    if out:
        text = (
            as_csv(watched, info.duration_s)
            if out.suffix.lower() == ".csv"
            else as_otio(watched, film.resolve(), duration_s=info.duration_s, frame_rate=info.frame_rate)
        )
        with atomic_files([out]) as (partial,):
            partial.write_text(text, encoding="utf-8")
    if args.json:
        print(_as_json(info, watched, out))
    elif out:
        print(f"{film} -> {out}")
    else:
        print("\n".join(_as_lines(info, watched)))
    return OK


def _checked(out: Path, film: Path) -> Path:
    if out.suffix.lower() not in SUFFIXES:
        raise OutputError(f'{out}: suffix "{out.suffix}" is neither a table nor a timeline; use .csv or .otio')
    if out.resolve() == film.resolve():
        raise OutputError(f"{out}: is the video itself; choose another name with -o")
    if out.is_dir():
        raise OutputError(f"{out}: is a folder, expected the name of a file; choose another with -o")
    check_name(out)
    check_place(out.parent)
    return out


def _as_json(info: VideoInfo, watched: Watched, out: Path | None) -> str:
    values = {
        "clip": str(info.path),
        "status": "seen",
        "files": [str(out)] if out else [],
        "duration_s": round(info.duration_s, 3),
        "frame_rate": round(info.frame_rate, 3),
        **as_values(watched, info.duration_s),
    }
    return json.dumps(values, ensure_ascii=False)


def _as_lines(info: VideoInfo, watched: Watched) -> Iterator[str]:
    """A short table of the shots, and one of the onsets."""
    shots, onsets = shots_of(watched, info.duration_s), watched.cues.onsets
    yield f"{info.path}: {info.duration_s:.2f} s, {info.frame_rate:.5g} frames a second"
    yield ""
    yield f"{'shot':>5} {'begins':>9} {'ends':>9}  border"
    for number, shot in enumerate(shots, 1):
        yield f"{number:>5} {shot.start_s:>9.2f} {shot.end_s:>9.2f}  {shot.border}"
    yield ""
    if not onsets:
        yield "no onsets: nothing is seen to be struck"
        return
    yield f"{'onset':>5} {'time':>9} {'strength':>9} {'confidence':>11}"
    for number, onset in enumerate(onsets, 1):
        yield f"{number:>5} {onset.time_s:>9.2f} {onset.strength:>9.2f} {onset.confidence:>11.2f}"
