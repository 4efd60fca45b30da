"""What the page shows of a film, of work, and of a result: HTML, in which every word of a visitor is escaped."""

from collections.abc import Sequence
from html import escape

from echoframe.sound.placed import LAYERS
from echoframe.sound.ranking import total
from echoframe.studio.limits import clock
from echoframe.studio.looking import Seen
from echoframe.studio.making import Step, Waiting, Working
from echoframe.studio.sitting import Made, Sitting

# kinds of files, as people call them, in the order in which they stand
SAVED = {
    "sound": "Sound",
    "film": "Film",
    "mixed": "Film, with its own sound",
    "timeline": "Timeline",
    **{layer: f"Stem: {layer}" for layer in LAYERS},
    "record": "Record",
    "archive": "All files",
}
MEANT = {
    "target": "nearness to what is seen",
    "label": "has what is expected",
    "prompt": "nearness to the words",
    "time": "met onsets",
    "soundness": "soundness",
}
NOTHING_YET = '<p class="quiet empty">Sounds appear here, one after another. You can stop at any time.</p>'
NO_FILM = '<p class="quiet empty">Drop a film above, or try an example.</p>'


def of_film(seen: Seen) -> str:
    """A film's frames, and how long it is."""
    is_still = not seen.duration_s
    told = (
        "a picture"
        if is_still
        else f"{seen.duration_s:.1f} s, {_n(seen.n_shots, 'shot')}, {_n(seen.n_onsets, 'onset')}"
    )
    expected = ", ".join(f"{label} {chance:.0%}" for label, chance in seen.labels)
    alt = f"{'The picture' if is_still else 'Frames'} of {seen.name}; expected: {expected}"
    return (
        f'<figure class="seen"><img src="{seen.strip}" alt="{escape(alt)}">'
        f"<figcaption><b>{escape(seen.name)}</b> {told}</figcaption></figure>"
    )


def of_step(step: Step) -> str:
    """How far the work is."""
    if isinstance(step, Waiting):
        return says(f"{_n(step.ahead, 'sound is', 'sounds are')} made before yours.")
    if isinstance(step, Working):
        told = f"Sound {step.nth} of {step.of}"
        return f'<div role="status"><label>{told} <progress max="1" value="{step.share:.3f}"></progress></label></div>'
    return ""


def says(words: str) -> str:
    """A sentence that is read out when there is time."""
    return f'<p role="status">{escape(words)}</p>'


def fails(words: str) -> str:
    """A sentence that is read out at once."""
    return f'<p role="alert" class="trouble">{escape(words)}</p>'


def of_result(sitting: Sitting, made: Made) -> str:
    """A player, what the sound looks like, why it fits, and its files."""
    parts = [_player(sitting, made), _picture(sitting, made), _scores(made), _files(sitting, made)]
    parts += [f'<p class="quiet">{escape(note)}</p>' for note in made.notes]
    return f'<section class="take" aria-label="{escape(called(made))}">{"".join(parts)}</section>'


def called(made: Made) -> str:
    """What a result is called where one of several is chosen."""
    words = f', "{made.prompt}"' if made.prompt and made.prompt != made.title else ""
    length = f", {clock(made.duration_s)}" if made.duration_s else ""
    return f"{made.number}: {made.title}{words}, seed {made.seed}{length}{', kept' if made.kept else ''}"


def short(made: Made, best: bool) -> str:
    """What a result of the last press is called among the others."""
    return f"Seed {made.seed}{' (fits best)' if best else ''}"


def best_of(results: Sequence[Made]) -> Made | None:
    """The result that fits best, where there are several."""
    scored = [made for made in results if made.scores]
    return max(scored, key=lambda made: total(made.scores, {})) if len(scored) > 1 else None


def _player(sitting: Sitting, made: Made) -> str:
    what = "mixed" if made.level_db is not None and "mixed" in made.files else "film"
    label = escape(f"{made.title} with the sound of seed {made.seed}")
    if what in made.files:
        address = f"{sitting.address(made, what)}?{made.level_db}"
        return f'<video controls playsinline preload="auto" aria-label="{label}" src="{address}"></video>'
    if "sound" not in made.files:
        return f"<h3>{escape(made.title)}</h3>"
    still = (
        f'<img class="still" alt="{escape(made.title)}" src="{sitting.address(made, "still")}">'
        if "still" in made.files
        else ""
    )
    return f'{still}<audio controls preload="auto" aria-label="{label}" src="{sitting.address(made, "sound")}"></audio>'


def _picture(sitting: Sitting, made: Made) -> str:
    if "picture" not in made.files:
        return ""
    near = ", ".join(made.nearest) or "nothing that has a name"
    alt = f"Waveform and spectrogram of {made.duration_s:.1f} s of sound; nearest to {near}"
    return f'<img class="heard" alt="{escape(alt)}" src="{sitting.address(made, "picture")}">'


def _scores(made: Made) -> str:
    shown = [(MEANT.get(name, name), f"{value:.2f}") for name, value in made.scores.items()]
    nearest = ", ".join(f"{label} {cosine:.2f}" for label, cosine in list(made.nearest.items())[:3])
    shown += [("sounds like", nearest)] if nearest else []
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in shown)
    return f'<dl class="scores">{rows}</dl>' if rows else ""


def _files(sitting: Sitting, made: Made) -> str:
    links = [
        f'<a download href="{sitting.address(made, what)}">{name} '
        f"<small>{escape(made.files[what].rpartition('.')[2])}</small></a>"
        for what, name in SAVED.items()
        if what in made.files and (what != "mixed" or made.level_db is not None)
    ]
    return f'<p class="files">{"".join(links)}</p>'


def _n(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"
