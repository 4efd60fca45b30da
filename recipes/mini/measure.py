"""What the bundle reaches, as Markdown tables, ceiling and floor beside every figure. How is said in judge.py.

    python measure.py --yamnet FILE                  # held-out recordings: codec, generator; needs WORK/corpus; resumes
    python measure.py --yamnet FILE --clips FOLDER   # films, with their VGGSound labels in the folder's README.md
    python measure.py --yamnet FILE --photos FOLDER  # photographs, with the sound labels to hear in photos.csv (file,label)

*Rows*: held-out recordings; the same through codec and Griffin-Lim; sounds generated from the recording's own embedding;
these against other recordings' labels and embeddings, as if the conditions had been shuffled. Every generated row has
--seeds sounds of each. A film is right if one of the five nearest labels of its sound is of the film's kind. Beside
aiSFX, mini's own space, stands YAMNet, which no training knows: *label hit*, and *KL* to the real recording (ears.py).
"""

import argparse
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from codec import DECIBELS
from ears import divergences, heard_labels, mean_over_labels, right_classes
from echoframe import load
from echoframe.bundles.labels import vggsound_labels
from echoframe.evaluation.judges.yamnet import YamnetJudge
from echoframe.media.audio import log_mel
from echoframe.media.video import read_frames
from echoframe.options import SampleOptions
from echoframe.spec import MelSpec
from held_out import Heard, HeldOut, count, embed, hear_generated, listen
from judge import Judge, frechet_distance, log_spectral_distance
from sound_statistics import floor_not_above, within_by_label

HERE = Path(__file__).parent
# where VGGSound's category is wider than the kinds of recipes/mini/labels.csv
KIND_OF_CLIP = {"ripping paper": "tools", "waterfall burbling": "water"}
COLUMNS = ("n", "top-1 (of real)", "top-5 (of real)", "cosine to the real one", "YAMNet: hit (of real)", "KL")
JOINT_DIMS = 16  # each of condition and sound, for the distance of both together


def log_mels(waveforms: Tensor, spec: MelSpec) -> Tensor:
    return torch.cat([log_mel(part, spec) for part in waveforms.split(8)])


def table(title: str, columns: tuple[str, ...]) -> None:
    print(f"\n| {title} | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")


def line(name: str, *cells: object) -> None:
    print(f"| {name} | {' | '.join(f'{c:.3f}' if isinstance(c, float) else str(c) for c in cells)} |", flush=True)


def share(hits: np.ndarray, ceiling: np.ndarray) -> str:
    return f"{hits.mean():.3f} ({hits.mean() / ceiling.mean():.0%})"


@torch.no_grad()
def measure_codec(model, held_out: HeldOut, yamnet: YamnetJudge) -> tuple[Tensor, np.ndarray]:
    """Prints what the codec and Griffin-Lim lose; returns the embeddings of what they leave, and YAMNet's scores."""
    generator = model.generator
    rebuilt, scores, errors = [], [], []
    for n in held_out.rows:
        real = held_out.waveforms([n])
        mel = log_mels(real, generator.config.mel)
        tokens = generator.codec.encode(mel.to(generator.device))
        sound = generator.decode(tokens)
        coded, again = generator.codec.decode(tokens).cpu(), log_mels(sound, generator.config.mel)
        decibels = [(x - mel).abs().mean().item() * DECIBELS for x in (coded, again)]
        errors.append([*decibels, log_spectral_distance(real[0], sound[0])])
        rebuilt.append(embed(model, sound))
        scores.append(listen(yamnet, sound))
    of_codec, of_sound, spectral = np.mean(errors, axis=0)
    print(f"\nMel error of the codec {of_codec:.2f} dB, with Griffin-Lim {of_sound:.2f} dB (mean absolute); ", end="")
    print(f"log-spectral distance {spectral:.2f} dB; n = {len(errors)}.")
    return torch.cat(rebuilt), np.concatenate(scores)


@torch.no_grad()
def measure_held_out(
    model, held_out: HeldOut, yamnet: YamnetJudge, seeds: int, options: SampleOptions, work: Path
) -> None:
    judge, real, labels = held_out.judge, held_out.embeddings, held_out.labels
    real_scores = np.concatenate([listen(yamnet, held_out.waveforms([n])) for n in held_out.rows])
    true = Real(real, real_scores, labels, right_classes(yamnet, labels), judge)
    rebuilt, rebuilt_scores = measure_codec(model, held_out, yamnet)
    heard = [hear_generated(model, held_out, seed, options, work, yamnet) for seed in range(seeds)]
    made = [torch.stack([sound.embedding for sound in of_seed]) for of_seed in heard]
    scores = [np.stack([sound.scores for sound in of_seed]) for of_seed in heard]
    table(f"{len(set(labels))} labels of {len(judge.names)} competing", COLUMNS)
    row(true, "real held-out recordings (ceiling)", real, real_scores)
    row(true, "through the codec and Griffin-Lim", rebuilt, rebuilt_scores)
    row(true, f"generated from its embedding, {seeds} seeds", torch.cat(made), np.concatenate(scores))
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))
    row(true, "generated, conditions shuffled (floor)", made[0][order], scores[0][order.numpy()])
    distances(held_out, rebuilt, made[0], order)
    counted(held_out, [sound for of_seed in heard for sound in of_seed])


def distances(held_out: HeldOut, rebuilt: Tensor, made: Tensor, order: Tensor) -> None:
    """Frechet distances to the real recordings: of the sounds, and of conditions and sounds together."""
    judge, real = held_out.judge, held_out.embeddings
    picked = torch.randperm(len(held_out.train), generator=torch.Generator().manual_seed(1)).tolist()
    chosen, taken = [], set()  # drawn as the held-out ones are: the same labels, as often
    for label in held_out.labels:
        fresh = [n for n in picked if held_out.train_labels[n] == label and n not in taken]
        chosen.append(fresh[0] if fresh else next(n for n in picked if held_out.train_labels[n] == label))
        taken.add(chosen[-1])
    points = judge.place(real)
    given = points[:, :JOINT_DIMS]
    title = "Frechet distance to the held-out ones"
    table(title, ("n", f"sounds, {points.shape[1]} dimensions", f"condition and sound, 2 x {JOINT_DIMS} dimensions"))
    for name, embeddings in (
        ("as many train recordings of the same labels", held_out.train_embeddings[chosen]),
        ("codec and Griffin-Lim", rebuilt),
        ("generated, one seed", made),
        ("generated, conditions shuffled", made[order]),
    ):
        placed = judge.place(embeddings)
        joint = [torch.cat([given, x[:, :JOINT_DIMS]], dim=1) for x in (placed, points)]
        line(name, len(embeddings), frechet_distance(placed, points), frechet_distance(*joint))


def counted(held_out: HeldOut, heard: Sequence[Heard]) -> None:
    """Prints how often level, spectrum, onsets and noise floor are as those of the label's real train recordings."""
    labels = held_out.labels
    wanted = set(labels)
    kept = [(n, x) for n, x in zip(held_out.unvaried, held_out.unvaried_labels, strict=True) if x in wanted]
    train = [(label, count(held_out.waveforms([n])[0])) for n, label in kept]
    others = [(label, count(held_out.waveforms([n])[0])) for n, label in zip(held_out.rows, labels, strict=True)]
    made = [(labels[n % len(labels)], (sound.statistics, sound.floor, sound.click)) for n, sound in enumerate(heard)]

    def by_label(sounds: list, which: int) -> dict[str, list]:
        grouped: dict[str, list] = {}
        for label, figures in sounds:
            grouped.setdefault(label, []).append(figures[which])
        return grouped

    groups = {"generated": made, "real held-out": others}
    agreements = {name: within_by_label(by_label(group, 0), by_label(train, 0)) for name, group in groups.items()}
    columns = tuple(f"{name}: {what} inside" for name in groups for what in ("labels' medians", "sounds"))
    any_one = next(iter(agreements["generated"].values()))
    table(f"within 5 to 95 % of the label's real train recordings, {any_one.n_labels} labels", columns)
    for statistic in agreements["generated"]:
        cells = [
            (agreements[name][statistic].labels_inside, agreements[name][statistic].sounds_inside) for name in groups
        ]
        line(statistic, *(cell for pair in cells for cell in pair))
    floors = {name: floor_not_above(by_label(group, 1), by_label(train, 1)) for name, group in groups.items()}
    n_sounds = floors["generated"].n_sounds
    line(
        f"noise floor in pauses not above ({n_sounds} sounds)",
        "",
        floors["generated"].not_above,
        "",
        floors["real held-out"].not_above,
    )
    clicks = {
        name: np.mean([figures[2].begins or figures[2].ends for _, figures in group]) for name, group in groups.items()
    }
    print(f"\nClicks at an end: generated {clicks['generated']:.3f}, real held-out {clicks['real held-out']:.3f}.")


@dataclass(frozen=True)
class Real:
    """The real recordings: embeddings (n, 512), YAMNet's scores (n, 521), labels and their classes, aiSFX's judge."""

    embeddings: Tensor
    scores: np.ndarray
    labels: list[str]
    right: np.ndarray
    judge: Judge


def row(real: Real, name: str, embeddings: Tensor, scores: np.ndarray) -> None:
    """One line; there may be several sounds for each real one, one round after the other."""
    times = len(embeddings) // len(real.labels)
    ceiling = real.judge.hits(real.embeddings, real.labels)
    top1, top5 = real.judge.hits(embeddings, real.labels * times)
    cosine = functional.cosine_similarity(embeddings, real.embeddings.repeat(times, 1)).mean().item()
    heard = [heard_labels(x, np.tile(real.right, (k, 1))).values for x, k in ((scores, times), (real.scores, 1))]
    kl = divergences(np.tile(real.scores, (times, 1)), scores).mean
    line(name, len(embeddings), share(top1, ceiling[0]), share(top5, ceiling[1]), cosine, share(*heard), kl)


def measure_photos(model, held_out: HeldOut, yamnet: YamnetJudge, folder: Path, seeds: int, candidates: int) -> None:
    """Photographs whose label competes: generated, the nearest train recording to the mapper's point, and chance."""
    judge, names = held_out.judge, held_out.judge.names
    with (folder / "photos.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["label"] in names]
    labels = [row["label"] for row in rows]
    made: list[list[Tensor]] = []
    scores: list[np.ndarray] = []
    found: list[int] = []
    for photo in rows:
        sounds = [model.generate(folder / photo["file"], seed=s, candidates=candidates) for s in range(seeds)]
        made.append([model.audio_encoder(sound.waveform, sound.sample_rate)[0] for sound in sounds])
        scores += [listen(yamnet, sound.waveform)[0] for sound in sounds]
        for seed in range(seeds):
            target = look(model, folder / photo["file"], seed)
            found.append(int((held_out.train_embeddings @ target).argmax()))
    columns = ("n", "top-1", "top-5", "mean over labels, top-1", "YAMNet: label hit")
    table(f"{len(rows)} photographs of {len(set(labels))} labels", columns)
    generated = torch.stack([vector for vectors in made for vector in vectors])  # photograph by photograph
    near = np.concatenate([listen(yamnet, held_out.waveforms([held_out.train[n]])) for n in found])
    repeated = [label for label in labels for _ in range(seeds)]
    right = right_classes(yamnet, repeated)
    of_name = {"generated": (generated, np.stack(scores))}
    of_name["nearest train recording to the target"] = (held_out.train_embeddings[found], near)
    for name, (embeddings, heard) in of_name.items():
        top1, top5 = judge.hits(embeddings, repeated)
        over = mean_over_labels(top1, repeated)
        line(name, len(embeddings), top1.mean(), top5.mean(), over, heard_labels(heard, right).mean)
    line("chance", "", *(k / len(names) for k in (1, 5, 1)), heard_labels(of_name["generated"][1], right).chance)
    apart = [1 - float(a @ b) for of_photo in made for a, b in combinations(of_photo, 2)]
    train = held_out.train_embeddings
    others = []
    for label in sorted(set(labels)):
        own = train[[n for n, x in enumerate(held_out.train_labels) if x == label]]
        pairs = (own @ own.T)[~torch.eye(len(own), dtype=torch.bool)]
        others.append(1 - float(pairs.mean()))
    print(f"\nDiversity (1 - cosine): two seeds of one photograph {np.mean(apart):.3f}, ", end="")
    print(f"two scenes of one label {np.mean(others):.3f}.")


@torch.no_grad()
def look(model, photo: Path, seed: int) -> Tensor:
    """The mapper's point for a still and a seed, (D,)."""
    frames = read_frames(photo, model.clip_spec, short_side=model.visual_encoder.short_side)
    return model.predict_target(frames, until_s=4.0, seed=seed)[0].cpu()


def read_clip_labels(folder: Path) -> dict[str, str]:
    return dict(re.findall(r"^\| (\S+\.mp4) \| (.+?) \|$", (folder / "README.md").read_text(), re.MULTILINE))


def kind_of(label: str) -> str:
    """A VGGSound label's kind in the words of labels.csv."""
    kind = dict(vggsound_labels())[label]
    return KIND_OF_CLIP.get(label, {"animals": "animal"}.get(kind, kind))


def measure_clips(model, yamnet: YamnetJudge, folder: Path, *, seed: int, candidates: int) -> None:
    columns = ("label", "kind", "five nearest labels of the generated sound (kind)", "right", "YAMNet: label hit")
    table("clip", columns)
    right = heard = 0
    clips = read_clip_labels(folder)
    kinds = dict(zip(model.labels.names, model.labels.kinds, strict=True))
    for name, label in clips.items():
        sound = model.generate(folder / name, seed=seed, candidates=candidates)
        nearest = [(text, kinds[text]) for text, _ in sound.nearest[:5]]
        hit = kind_of(label) in {kind for _, kind in nearest}
        right += hit
        hears = heard_labels(listen(yamnet, sound.waveform), right_classes(yamnet, [label])).mean > 0
        heard += hears
        listed = ", ".join(f"{text} ({kind})" for text, kind in nearest)
        line(name, label, kind_of(label), listed, "yes" if hit else "no", "yes" if hears else "no")
    print(f"\n{right} of {len(clips)} clips right, {heard} by YAMNet (seed {seed}, best of {candidates})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="mini")
    parser.add_argument("--yamnet", type=Path, required=True, help="YAMNet's .tflite file")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--clips", type=Path, help="a folder of films with a README.md table of their labels")
    parser.add_argument("--photos", type=Path, help="a folder of photographs with a photos.csv")
    parser.add_argument("--limit", type=int, default=1000, help="held-out recordings at most")
    parser.add_argument(
        "--split", choices=("test", "val"), default="test", help="val is for choosing, test for reporting"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the clips")
    parser.add_argument("--steps", type=int, help="the bundle's own if not given")
    parser.add_argument("--guidance", type=float, help="the bundle's own if not given")
    parser.add_argument("--candidates", type=int, default=1, help="sounds to make of each clip; the best is kept")
    args = parser.parse_args()
    model, yamnet = load(args.bundle), YamnetJudge(args.yamnet)
    if args.clips:
        measure_clips(model, yamnet, args.clips, seed=args.seed, candidates=args.candidates)
        return
    held_out = HeldOut(args.work, args.limit, args.split)
    if args.photos:
        measure_photos(model, held_out, yamnet, args.photos, args.seeds, args.candidates)
        return
    own = model.defaults
    options = SampleOptions(
        steps=args.steps or own.steps,
        guidance=own.guidance if args.guidance is None else args.guidance,
        scheduler=own.scheduler,
    )
    measure_held_out(model, held_out, yamnet, args.seeds, options, args.work)


if __name__ == "__main__":
    main()
