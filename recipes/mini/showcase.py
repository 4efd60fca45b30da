"""A page to hear and see: every film and still of some folders, what was seen, what came out, what it is nearest to.

    python showcase.py FOLDER [FOLDER ...] -o OUT [--model mini] [--seed 0] [--candidates 1]

Writes OUT/index.html, which opens from disk, with a sound, a picture and a JSON for each clip beside it. A second run
makes only what is missing.
"""

import argparse
import html
from pathlib import Path

from echoframe import load
from echoframe.jobs import Job, find_clips, plan_jobs, run_job
from echoframe.options import Request, WriteOptions
from echoframe.output import atomic_files
from echoframe.provenance import read_provenance

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
section {{ border-top: 1px solid #ccc; padding: 1rem 0; }}
img {{ max-width: 100%; }} audio {{ width: 100%; }}
</style>
<h1>{title}</h1>
<p>{about}</p>
{sections}
</html>
"""
SECTION = """<section><h2>{name}</h2>
<audio controls preload="none" src="{sound}"></audio>
<p>Nearest: {nearest}</p>
<img loading="lazy" src="{picture}" alt="Frames, spectrogram and nearest labels of {name}"></section>
"""


def section(job: Job) -> str:
    """One clip of the page, from the JSON beside its sound."""
    assert job.sound is not None
    assert job.picture is not None
    nearest = read_provenance(job.record).result.nearest
    return SECTION.format(
        name=html.escape(job.clip.name),
        sound=html.escape(job.sound.name),
        picture=html.escape(job.picture.name),
        nearest=html.escape(", ".join(f"{label} {cosine:.2f}" for label, cosine in nearest.items())),
    )


def write_page(path: Path, title: str, about: str, sections: list[str]) -> None:
    """The page, whole or not at all."""
    text = PAGE.format(title=html.escape(title), about=html.escape(about), sections="".join(sections))
    with atomic_files([path]) as (partial,):
        partial.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="films and stills, or folders of them")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--candidates", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model = load(args.model)
    jobs = plan_jobs(find_clips(args.folders), args.out, with_film=False, with_picture=True)
    request = Request(seed=args.seed, candidates=args.candidates)
    for number, job in enumerate(jobs, start=1):
        run_job(model, job, request, WriteOptions())
        print(f"showcase: {number}/{len(jobs)} {job.clip.name}", flush=True)
    identity = model.identity
    about = f"{identity.name} {identity.version}, seed {args.seed}, best of {args.candidates}; {len(jobs)} clips."
    write_page(args.out / "index.html", "What EchoFrame makes of them", about, [section(job) for job in jobs])
    print(f"showcase: {args.out / 'index.html'}", flush=True)


if __name__ == "__main__":
    main()
