"""The page: what stands where, and which event calls what. What is done then is in `events`."""

from importlib.resources import files
from types import SimpleNamespace
from typing import Any

from echoframe.media.stills import PICTURE_SUFFIXES
from echoframe.media.video import VIDEO_SUFFIXES
from echoframe.optional import require_extra
from echoframe.output import SOUND_FORMATS
from echoframe.studio import cards, controls
from echoframe.studio.events import Events
from echoframe.studio.examples import EXAMPLES
from echoframe.studio.limits import MAX_TAKES
from echoframe.studio.looking import MAX_LABELS
from echoframe.studio.making import Studio

FILMS = sorted(VIDEO_SUFFIXES | PICTURE_SUFFIXES)
STORED = "echoframe-sitting"  # where a browser keeps the token
WORDS_S = 5.0  # a sound of words alone, unless asked otherwise
MIXED_DB, LEVELS_DB = -12.0, (-40.0, 12.0)  # of the film's own sound
CSS = (files("echoframe.studio") / "page" / "studio.css").read_text(encoding="utf-8")
HEAD = '<meta name="referrer" content="no-referrer"><meta name="robots" content="noindex">'
INTRO = (
    '<header class="top"><h1>EchoFrame studio</h1>'
    '<p class="quiet">A film without sound gets one. Nothing leaves this server.</p></header>'
)
FOOT = '<footer class="quiet"><a href="v1">For programs</a></footer>'


def build_page(studio: Studio) -> Any:
    """The page of a studio, as Gradio's Blocks."""
    gradio = require_extra("gradio", "web")
    events = Events(studio)
    with gradio.Blocks(title="EchoFrame studio", analytics_enabled=False, fill_width=True) as page:
        token = gradio.BrowserState("", storage_key=STORED, secret=STORED)
        gradio.HTML(INTRO)
        with gradio.Tab("Film"):
            film = _film_tab(gradio, studio, token)
        with gradio.Tab("Many films"):
            many = _many_tab(gradio, studio)
        with gradio.Tab("Words"):
            alone = _words_tab(gradio, studio)
        with gradio.Row(elem_classes="ending"):
            gradio.HTML(FOOT)
            end = gradio.Button("End this sitting and remove its files", size="sm", scale=0, min_width=280)
        programs = _for_programs(gradio)
        ready = [*film.examples.values(), film.go, many.go, alone.go]
        page.load(events.begin, [token], [*film.looked, film.history, *ready], **_plain())
        _wire_film(events, token, film)
        _wire_many(events, token, many)
        _wire_words(events, token, alone)
        end.click(events.end, [token], [token], **_plain()).then(fn=None, js="() => location.reload()", **_plain())
        programs.go.click(
            events.for_programs, programs.asked, programs.given, api_name="sounds", concurrency_limit=None
        )
        programs.see.click(events.see_for_programs, programs.asked[:1], programs.seen, api_name="look")
    return page


def theme() -> Any:
    """Colours and fonts: those of the reader's own machine."""
    gradio = require_extra("gradio", "web")
    blue = gradio.themes.Color(  # around the blue of the listening tests' page
        *("#eef4fd", "#d9e6fa", "#b6cff4", "#89b0ec", "#5a8de0", "#336fd2", "#1f5fbf", "#1a4f9f", "#173f7d", "#14325f"),
        "#0d2140",
        name="echoframe",
    )
    own = ["system-ui", "sans-serif"]
    plain = gradio.themes.Default(
        primary_hue=blue, secondary_hue=blue, font=own, font_mono=["ui-monospace", "monospace"]
    )
    quiet = ("body_text_color_subdued", "block_info_text_color")  # too pale to be read
    return plain.set(
        **{name: "*neutral_600" for name in quiet},
        **{f"{name}_dark": "*neutral_300" for name in quiet},
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )


def _film_tab(gradio: Any, studio: Studio, token: Any) -> SimpleNamespace:
    own = studio.model.defaults
    with gradio.Row(elem_classes="desk"):
        with gradio.Column(scale=6, min_width=320):
            drop = gradio.File(
                label="Film or picture", file_types=FILMS, height=104, elem_id="film", elem_classes="low"
            )
            with gradio.Row(elem_classes="examples"):
                examples = {
                    name: gradio.Button(
                        about, interactive=False, size="sm", min_width=90, elem_classes=f"example example-{name}"
                    )
                    for name, about in EXAMPLES.items()
                }
                record = gradio.Button("Record one", size="sm", min_width=90)
            camera = gradio.Video(
                label="Record a film", sources=["webcam"], include_audio=False, visible=False, elem_id="camera"
            )
            seen = gradio.HTML(cards.NO_FILM, elem_id="seen")
            with gradio.Row(elem_classes="labels", elem_id="labels"):
                levels = [
                    gradio.Slider(0, 1, 0, step=0.01, label=f"Label {n + 1}", visible=False, min_width=150)
                    for n in range(MAX_LABELS)
                ]
            with gradio.Row():
                prompt = controls.words("prompt", info=None, placeholder="heavy rain on a roof", elem_id="prompt")
                negative = controls.words("negative_prompt", info=None, placeholder="speech, music", elem_id="negative")
            with gradio.Row(elem_classes="acts"):
                go = gradio.Button(
                    "Generate", variant="primary", elem_id="go", scale=3, min_width=160, interactive=False
                )
                stop = gradio.Button("Stop", variant="stop", elem_id="stop", scale=1, min_width=90, interactive=False)
            status = gradio.HTML(elem_id="status")
            with gradio.Row():
                like = gradio.File(
                    label="An example sound to be like", file_types=sorted(SOUND_FORMATS), height=92, elem_classes="low"
                )
                with gradio.Column(min_width=150, visible=bool(studio.libraries)):
                    library = _library(gradio, studio)
                    blend = controls.slider("blend", own.blend, visible=False)
            with gradio.Accordion("More", open=False, elem_id="more"):
                with gradio.Row():
                    takes = _takes(gradio)
                    length = controls.number("duration_s", None, label="Length in seconds", min_width=150)
                    seed = controls.number("seed", 0, min_width=150)
                with gradio.Row():
                    sync = controls.slider("sync", own.sync, min_width=150)
                    variation = controls.slider("variation", own.variation, min_width=150)
        with gradio.Column(scale=7, min_width=320, elem_id="results"):
            choice = gradio.Radio(label="Which sound", visible=False, elem_id="choice")
            player = gradio.HTML(cards.NOTHING_YET, elem_id="player")
            with gradio.Row(visible=False, elem_classes="acts") as acts:
                keep = gradio.Button("Keep", size="sm", min_width=120, elem_id="keep")
                again = gradio.Button("Again, with another seed", size="sm", min_width=190, elem_id="again")
                goes_on = gradio.State(0)
            with gradio.Row(visible=False) as mixing:
                mixed = gradio.Checkbox(label="Mix in the film's own sound", elem_id="mixed", min_width=200)
                level = gradio.Slider(*LEVELS_DB, MIXED_DB, step=1, label="Its level in dB", min_width=200)
            history = gradio.Dropdown(label="All sounds of this sitting", visible=False, elem_id="history")
    asked = [prompt, negative, length, takes, sync, variation, seed, like, library, blend, *levels]
    looked = [token, drop, camera, seen, *levels]
    return SimpleNamespace(
        **{name: value for name, value in locals().items() if name not in ("gradio", "studio", "token")}
    )


def _takes(gradio: Any) -> Any:
    return gradio.Slider(
        1, MAX_TAKES, 2, step=1, label="Candidates", info="sounds, with one seed after another", min_width=150
    )


def _library(gradio: Any, studio: Studio) -> Any:
    """Which recordings a sound is made of. It is there where the server has some."""
    choices = [("none: the model's own sounds", ""), *((name, name) for name in studio.libraries)]
    return gradio.Dropdown(choices, value="", label="Library", min_width=150, visible=bool(studio.libraries))


def _many_tab(gradio: Any, studio: Studio) -> SimpleNamespace:
    with gradio.Column(elem_classes="narrow"):
        drop = gradio.File(label="Films and pictures", file_types=FILMS, file_count="multiple", height=180)
        prompt = controls.words("prompt", info=None, placeholder="none: each film has the sound that fits it")
        seed = controls.number("seed", 0)
        library = _library(gradio, studio)
        with gradio.Row(elem_classes="acts"):
            go = gradio.Button("Generate all", variant="primary", scale=3, min_width=160, interactive=False)
            stop = gradio.Button("Stop", variant="stop", scale=1, min_width=90, interactive=False)
        status, player = gradio.HTML(elem_id="many-status"), gradio.HTML(elem_id="many-player")
    return SimpleNamespace(drop=drop, asked=[prompt, seed, library], go=go, stop=stop, status=status, player=player)


def _words_tab(gradio: Any, studio: Studio) -> SimpleNamespace:
    with gradio.Column(elem_classes="narrow"):
        prompt = controls.words("prompt", info=None, placeholder="a dog barks", elem_id="words")
        with gradio.Row():
            length = controls.number("duration_s", WORDS_S, label="Length in seconds", info=None, min_width=150)
            seed = controls.number("seed", 0, info=None, min_width=150)
        library = _library(gradio, studio)
        with gradio.Row(elem_classes="acts"):
            go = gradio.Button(
                "Generate", variant="primary", scale=3, min_width=160, elem_id="words-go", interactive=False
            )
            stop = gradio.Button("Stop", variant="stop", scale=1, min_width=90, interactive=False)
        status, player = gradio.HTML(elem_id="words-status"), gradio.HTML(elem_id="words-player")
    return SimpleNamespace(asked=[prompt, length, seed, library], go=go, stop=stop, status=status, player=player)


def _for_programs(gradio: Any) -> SimpleNamespace:
    """What only programs see: Gradio's API takes its inputs and outputs from components.

    The record is text: gradio_client takes any value with a "path" for a file.
    """
    with gradio.Row(visible=False):
        asked = [
            gradio.File(label="film", file_types=FILMS),
            gradio.Textbox("", label="prompt"),
            gradio.Textbox("", label="negative_prompt"),
            gradio.Number(0, label="duration_s"),  # 0: the film's own
            gradio.Number(0, label="seed", precision=0),
        ]
        given = [gradio.Textbox(label="record"), gradio.File(label="sound"), gradio.File(label="film with its sound")]
        seen = [gradio.JSON(label="labels")]
        go, see = gradio.Button("sounds"), gradio.Button("look")
    return SimpleNamespace(asked=asked, given=given, seen=seen, go=go, see=see)


def _steps(event: Any) -> Any:
    """The event as a generator function, which is what Gradio looks for: one that is checked as it runs is none."""
    return lambda *values: (yield from event(*values))


def _plain(**more: Any) -> dict[str, Any]:
    """Of every event of the page: programs do not see it, and nothing covers what it changes."""
    return {"api_visibility": "private", "show_progress": "hidden"} | more


def _wire_film(events: Events, token: Any, tab: SimpleNamespace) -> None:
    on = require_extra("gradio", "web").on
    one_at_a_time = _plain(concurrency_limit=1, concurrency_id="look")
    chosen = [tab.player, tab.acts, tab.keep, tab.mixing, tab.mixed, tab.level]
    working = [tab.status, tab.go, tab.stop, tab.again]
    ended = [*working, tab.choice, tab.history, *chosen]
    tab.drop.upload(_steps(events.bring), [token, tab.drop], tab.looked, **one_at_a_time)
    tab.camera.stop_recording(
        _steps(events.recorded), [token, tab.camera], tab.looked, preprocess=False, **one_at_a_time
    )
    tab.record.click(events.show_camera, None, [tab.camera], **_plain())
    for name, button in tab.examples.items():
        button.click(_steps(events.example(name)), [token], tab.looked, **one_at_a_time)
    tab.library.input(events.with_library, [tab.library], [tab.sync, tab.blend], **_plain())
    tab.like.upload(events.sent, [token, tab.like], None, **_plain())
    on(  # one event for all that begins the work, so that none does while it goes on
        [tab.go.click, tab.prompt.submit, tab.goes_on.change],
        _steps(events.generate),
        [token, *tab.asked],
        ended,
        trigger_mode="once",
        **_plain(concurrency_limit=None),
    )
    tab.again.click(events.next_seed, [tab.seed, tab.takes, tab.goes_on], [tab.seed, tab.goes_on], **_plain())
    tab.stop.click(events.stop, [token], [tab.stop], **_plain(concurrency_limit=None))
    for chooser in (tab.choice, tab.history):
        chooser.input(events.choose, [token, chooser], [tab.choice, tab.history, *chosen], **_plain())
    tab.keep.click(events.keep, [token, tab.history], [tab.keep, tab.history], **_plain())
    for changed in (tab.mixed.input, tab.level.release):
        changed(events.mix, [token, tab.history, tab.mixed, tab.level], [tab.status, *chosen], **_plain())


def _wire_many(events: Events, token: Any, tab: SimpleNamespace) -> None:
    told = [tab.status, tab.go, tab.stop, tab.player]
    tab.drop.upload(events.sent, [token, tab.drop], None, **_plain())
    tab.go.click(_steps(events.many), [token, tab.drop, *tab.asked], told, **_plain(concurrency_limit=None))
    tab.stop.click(events.stop, [token], [tab.stop], **_plain(concurrency_limit=None))


def _wire_words(events: Events, token: Any, tab: SimpleNamespace) -> None:
    told = [tab.status, tab.go, tab.stop, tab.player]
    tab.go.click(_steps(events.words), [token, *tab.asked], told, **_plain(concurrency_limit=None))
    tab.stop.click(events.stop, [token], [tab.stop], **_plain(concurrency_limit=None))
