"""More labelled sounds, from Debian packages with free licences: a manifest like the one that `corpus.py` reads.

Needs apt-get and dpkg-deb. `sounds.csv` says which file of a package has which label, first rule first: a pattern
(`*` crosses folders; a path inside an archive goes on after the archive's path), of these at most `limit` (the
longest), `join` of them in order for one recording (keystrokes). `sound_packages.csv` gives every package its licence.
Writes WORK/sounds/{debs,rows,audio} and manifest.csv, which is whole or missing; what is there is not fetched again.
"""

import argparse
import csv
import hashlib
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import soundfile

from archives import UNPACK
from echoframe.errors import AudioError
from echoframe.media.audio import read_audio
from tables import read_rows

HERE = Path(__file__).parent
RATE = 44_100
PEAK = 0.9
SILENT = 1e-3  # of full scale: a sound whose peak is below it is none
QUIET = 10 ** (-50 / 20)  # of the peak: what is below it at the ends is cut off
MARGIN = RATE // 50
SHORTEST = RATE // 20  # 0.05 s
LONGEST = 13 * RATE  # a longer sound is cut into pieces
PIECE = 10 * RATE
MOST_PIECES = 8
PAUSE = RATE // 20  # between joined files
FEWEST = 5  # recordings that a label must have to be split
COLUMNS = ["file", "label", "recording", "source", "licence", "duration_s", "split"]


class SoundsError(Exception):
    """A package or a rule that cannot be used; the text is one line."""


@dataclass(frozen=True, slots=True)
class Rule:
    """limit: at most so many files, 0 for all. join: so many files in order are one recording. recording: the name under
    which all files stand on one side of every split."""

    package: str
    pattern: str
    label: str
    limit: int = 0
    join: int = 1
    recording: str = ""

    def __str__(self) -> str:
        return f"{self.package}: rule {self.pattern!r} ({self.label})"


def read_rules(path: Path) -> list[Rule]:
    rules = []
    for row in read_rows(path):
        limit, join = int(row.get("limit") or 0), int(row.get("join") or 1)
        rules.append(Rule(row["package"], row["pattern"], row["label"], limit, join, row.get("recording") or ""))
    return rules


def check_packages(rules: Iterable[Rule], licences: dict[str, str]) -> None:
    for rule in rules:
        if not licences.get(rule.package):
            raise SoundsError(f"{rule}: the package has no licence in sound_packages.csv; add its row")


# --- packages ---------------------------------------------------------------------------------------------------------


def fetch_package(package: str, debs: Path) -> Path:
    """The .deb of `package` in `debs`, by apt-get if it is not there."""
    for deb in sorted(debs.glob(f"{package}_*.deb")):
        return deb
    debs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=debs) as folder:
        command = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise SoundsError(f"{package}: apt-get is not here; run this on Debian") from error
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines() or ["no reason given"]
            raise SoundsError(f"{package}: apt-get cannot download the package: {lines[-1]}") from error
        deb = next(Path(folder).glob("*.deb"))
        return deb.rename(debs / deb.name)


def unpack_resources(path: Path, out: Path) -> None:
    """The files of a Qt resource file (.rcc, format 1 to 3; zlib or no compression), under `out`."""
    data = path.read_bytes()
    magic, version, tree, blobs, names = struct.unpack_from(">4sIIII", data)
    if magic != b"qres":
        raise SoundsError(f"{path.name}: not a Qt resource file")
    size = 14 if version == 1 else 22  # bytes a node

    def name_of(offset: int) -> str:
        (length,) = struct.unpack_from(">H", data, names + offset)
        return data[names + offset + 6 : names + offset + 6 + 2 * length].decode("utf-16-be")

    def unpack(node: int, folder: Path) -> None:
        name, flags, one, two = struct.unpack_from(">IHII", data, tree + node * size)
        place = folder / name_of(name) if node else folder
        if flags & 2:  # a folder: how many children, the first of them
            for child in range(two, two + one):
                unpack(child, place)
            return
        (length,) = struct.unpack_from(">I", data, blobs + two)
        blob = data[blobs + two + 4 : blobs + two + 4 + length]
        if flags & 4:
            return  # zstd
        if not place.resolve().is_relative_to(out.resolve()):
            raise SoundsError(f"{path.name}: {place} is outside of the resource file")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(zlib.decompress(blob[4:]) if flags & 1 else blob)

    unpack(0, out)


def unpack_sound_set(path: Path, out: Path) -> None:
    """The WAV files of an OpenTTD sound set (.cat: offset and size of each, then a name and the sound), numbered."""
    data = path.read_bytes()
    (count,) = struct.unpack_from("<I", data)
    out.mkdir(parents=True)
    for n in range(count // 8):
        offset, size = struct.unpack_from("<II", data, 8 * n)
        offset &= 0x7FFFFFFF
        if offset + size > len(data):
            break  # the list of OpenSFX is longer than its sounds
        start = offset + 1 + data[offset]
        (out / f"{n:02d}.wav").write_bytes(data[start : start + size])


def unpack_archives(folder: Path) -> None:
    """Every .rcc (Qt), .cat (OpenTTD) and what `archives.py` reads in `folder` becomes a folder of the same name."""
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".rcc", ".cat", *UNPACK) or not path.is_file() or path.is_symlink():
            continue
        archive = path.rename(path.with_name(path.name + ".archive"))
        if path.suffix == ".rcc":
            unpack_resources(archive, path)
        elif path.suffix == ".cat":
            unpack_sound_set(archive, path)
        else:
            UNPACK[path.suffix](archive, path)


# --- sounds -----------------------------------------------------------------------------------------------------------


def trim(samples: np.ndarray) -> np.ndarray:
    """Without the silence at both ends (50 dB below the peak); a silent sound becomes empty."""
    level = np.abs(samples)
    if not len(samples) or level.max() < SILENT:
        return samples[:0]
    loud = np.flatnonzero(level > level.max() * QUIET)
    return samples[max(loud[0] - MARGIN, 0) : loud[-1] + 1 + MARGIN]


def cut(samples: np.ndarray) -> list[np.ndarray]:
    """One piece up to 13 s; else at most 8 pieces of 10 s, evenly from beginning to end."""
    if len(samples) <= LONGEST:
        return [samples]
    count = min(MOST_PIECES, round(len(samples) / PIECE))
    starts = np.linspace(0, len(samples) - PIECE, count).astype(int) if count > 1 else [0]
    return [samples[start : start + PIECE] for start in starts]


def read_sound(path: Path) -> np.ndarray:
    """Mono at 44.1 kHz, its mean removed, trimmed; empty where nothing is heard or the file cannot be read."""
    try:
        samples = read_audio(path, sample_rate=RATE)[0][0].numpy()
    except AudioError as error:
        print(f"sounds: left out: {error}", flush=True)
        return np.zeros(0, np.float32)
    samples = trim(samples - samples.mean())
    return samples if len(samples) >= SHORTEST else samples[:0]


def join_sounds(sounds: list[np.ndarray]) -> np.ndarray:
    """The sounds in order, 0.05 s apart; silent ones do not count."""
    pause = np.zeros(PAUSE, np.float32)
    parts = [part for sound in sounds if len(sound) for part in (sound, pause)]
    return np.concatenate(parts[:-1]) if parts else np.zeros(0, np.float32)


def write_sound(path: Path, samples: np.ndarray) -> None:
    """Ogg Vorbis, under a temporary name first; written in parts, for libsndfile overflows its stack on long ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with soundfile.SoundFile(part, "w", samplerate=RATE, channels=1, format="OGG", subtype="VORBIS") as file:
        for start in range(0, len(samples), RATE):
            file.write(samples[start : start + RATE])
    part.rename(path)


def slug(text: str) -> str:
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in text).strip("_")


def match(rules: Iterable[Rule], folder: Path) -> Iterator[tuple[Rule, list[Path]]]:
    """(rule, files of one recording) of every rule; a file belongs to the first rule that matches it."""
    paths = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    taken: set[Path] = set()
    for rule in rules:
        found = [path for path in paths if fnmatchcase(path.as_posix(), rule.pattern)]
        if not found:
            raise SoundsError(f"{rule}: no file of the package matches")
        found = [path for path in found if path not in taken]
        taken.update(found)
        if rule.limit:
            found = sorted(sorted(found, key=lambda path: -(folder / path).stat().st_size)[: rule.limit])
        for first in range(0, len(found), rule.join):
            yield rule, found[first : first + rule.join]


def read_package(rules: list[Rule], folder: Path, out: Path) -> list[dict]:
    """The pieces that the rules (of one package) make of the extracted package in `folder`, written under OUT/audio.

    A row has file, label, recording, source, duration_s, and the sha256 of the recording's samples.
    """
    rows: list[dict] = []
    heard: set[Rule] = set()
    for rule, paths in match(rules, folder):
        samples = join_sounds([read_sound(folder / path) for path in paths])
        if not len(samples):
            continue
        heard.add(rule)
        inside = paths[0].with_suffix("").as_posix().removeprefix("usr/share/").removeprefix("games/")
        name = f"{rule.package}/{inside.removeprefix(rule.package + '/')}"
        normal = samples * (PEAK / np.abs(samples).max())
        content = hashlib.sha256((normal * 32767).astype(np.int16).tobytes()).hexdigest()
        for n, piece in enumerate(cut(samples)):
            peak = np.abs(piece).max()
            if peak < SILENT:
                continue
            file = f"audio/{slug(rule.label)}/{slug(name)}{paths[0].suffix}_{n}.ogg"
            write_sound(out / file, piece * (PEAK / peak))
            recording = f"{rule.package}/{rule.recording}" if rule.recording else name
            row = {"file": file, "label": rule.label, "recording": recording, "source": rule.package}
            rows.append(row | {"duration_s": round(len(piece) / RATE, 2), "content": content})
    for rule in rules:
        if rule not in heard:
            raise SoundsError(f"{rule}: no file is left that can be heard")
    return rows


def package_rows(package: str, rules: list[Rule], out: Path) -> list[dict]:
    """`read_package` of a Debian package; its rows are kept and used again as long as its rules stay the same."""
    wanted = [asdict(rule) for rule in rules]
    kept = out / "rows" / f"{package}.json"
    if kept.exists():
        record = json.loads(kept.read_text())
        if record["rules"] == wanted and all((out / row["file"]).exists() for row in record["rows"]):
            return record["rows"]
    deb = fetch_package(package, out / "debs")
    folder = Path(tempfile.mkdtemp(dir=out, prefix=f"{package}-"))
    try:
        subprocess.run(["dpkg-deb", "-x", str(deb), str(folder)], check=True)
        unpack_archives(folder)
        rows = read_package(rules, folder, out)
    finally:
        shutil.rmtree(folder)
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    part.write_text(json.dumps({"rules": wanted, "rows": rows}))
    part.rename(kept)
    return rows


# --- the manifest -----------------------------------------------------------------------------------------------------


def without_copies(rows: Iterable[dict]) -> list[dict]:
    """Each content once: the first recording that has it."""
    first: dict[str, str] = {}
    return [row for row in rows if first.setdefault(row["content"], row["recording"]) == row["recording"]]


def split_of(recording: str) -> str:
    """80 % train, 8 % val, 12 % test, by the recording's name alone."""
    share = int.from_bytes(hashlib.sha256(recording.encode()).digest()[:8]) / 2**64
    return "train" if share < 0.8 else "val" if share < 0.88 else "test"


def add_splits(rows: list[dict], base: Iterable[dict]) -> list[dict]:
    """The rows with their split; a label with fewer than 5 recordings, those of `base` included, is all train."""
    recordings: dict[str, set[str]] = defaultdict(set)
    for row in [*base, *rows]:
        recordings[row["label"]].add(row["recording"])
    few = {label for label, names in recordings.items() if len(names) < FEWEST}
    return [row | {"split": "train" if row["label"] in few else split_of(row["recording"])} for row in rows]


def write_manifest(rows: list[dict], path: Path) -> None:
    part = path.with_suffix(".part")
    with part.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: (row["label"], row["file"])))
    part.rename(path)


def make(rules: list[Rule], licences: dict[str, str], out: Path, base: list[dict]) -> list[dict]:
    check_packages(rules, licences)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for package in dict.fromkeys(rule.package for rule in rules):
        found = package_rows(package, [rule for rule in rules if rule.package == package], out)
        print(f"sounds: {package}: {len(found)} pieces", flush=True)
        rows += [row | {"licence": licences[package]} for row in found]
    rows = add_splits(without_copies(rows), base)
    write_manifest(rows, out / "manifest.csv")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--manifest", type=Path, action="append", default=[], help="what the corpus has already")
    parser.add_argument("--rules", type=Path, default=HERE / "sounds.csv")
    args = parser.parse_args()
    licences = {row["package"]: row["licence"] for row in read_rows(HERE / "sound_packages.csv")}
    base = [row for manifest in args.manifest for row in read_rows(manifest)]
    try:
        rows = make(read_rules(args.rules), licences, args.work / "sounds", base)
    except SoundsError as error:
        print(f"sounds: {error}", file=sys.stderr)
        return 2
    minutes = sum(row["duration_s"] for row in rows) / 60
    print(f"sounds: {len(rows)} pieces of {len({row['recording'] for row in rows})} recordings, {minutes:.0f} min")
    return 0


if __name__ == "__main__":
    sys.exit(main())
