"""The picture: its axes are where they say, its colours follow the sound, it holds for any length and shape."""

import numpy as np
import pytest
import torch

from echoframe.media.poster import (
    BAND_HEIGHT,
    LEFT,
    MARGIN,
    N_MELS,
    PLOT_HEIGHT,
    PLOT_WIDTH,
    WIDTH,
    band_centres,
    draw_poster,
    magma,
    mel_image,
    poster_spec,
)
from echoframe.media.poster_cues import MOVING, PAPER, PosterCues, cues_band, relative
from echoframe.options import Request, SampleOptions
from echoframe.provenance import BundleId, InputId, Machine
from echoframe.sound import Sound
from echoframe.sound.finished import Maker, finished
from echoframe.sound.picture import picture_of, poster_cues
from echoframe.sound.take import Take
from echoframe.timing.cues import Cues, Onset
from echoframe.timing.shots import Border
from echoframe.timing.watch import Watched
from echoframe.windows import Seen

RATE = 16_000


def tone(frequency: float, duration_s: float, rate: int = RATE) -> torch.Tensor:
    times_s = torch.arange(int(duration_s * rate), dtype=torch.float64) / rate
    return 0.5 * torch.sin(2 * torch.pi * frequency * times_s).float()[None]


def test_colours_go_from_dark_to_bright():
    ramp = magma(np.linspace(0, 1, 101)[None])[0].astype(int)
    assert ramp[0].tolist() == [0, 0, 4]
    assert ramp[-1].tolist() == [252, 253, 191]
    luminance = ramp @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()


@pytest.mark.parametrize("frequency", [300.0, 1000.0, 4000.0])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_tone_is_brightest_where_the_axis_says_its_frequency_is(frequency, rate):
    image = mel_image(tone(frequency, 1.0, rate), rate)
    band = N_MELS - 1 - int(image.mean(axis=1).argmax())
    centres = band_centres(poster_spec(rate))
    assert abs(np.interp(frequency, centres, np.arange(N_MELS)) - band) <= 1
    assert (np.diff(centres) > 0).all()


def test_a_click_stands_at_its_time():
    waveform = torch.zeros(1, 4 * RATE)
    waveform[0, 3 * RATE] = 1.0
    image = mel_image(waveform, RATE)
    assert image.mean(axis=0).argmax() == pytest.approx(300, abs=2)
    assert image.shape == (N_MELS, 400)


def test_a_long_sound_has_as_many_columns_and_the_same_picture():
    waveform = torch.cat([tone(500.0, 50.0), tone(3000.0, 50.0)], dim=1)
    image = mel_image(waveform, RATE, max_columns=100)
    assert image.shape == (N_MELS, 100)
    assert image[:, 10].argmax() > image[:, 90].argmax()  # low bands last
    assert np.allclose(image[:, 5:45], image[:, 5:6], atol=0.02)


def test_silence_and_a_single_sample_can_be_drawn():
    for n_samples in (1, 100, RATE):
        assert np.isfinite(mel_image(torch.zeros(1, n_samples), RATE)).all()


@pytest.mark.parametrize("shape", [(8, 90, 160, 3), (8, 160, 90, 3), (1, 90, 160, 3), (8, 4, 128, 3)])
def test_any_frames_fit_on_the_page(shape):
    frames = np.full(shape, 77, dtype=np.uint8)
    times_s = [float(i) for i in range(shape[0])]
    image = draw_poster(tone(440, 2.0), RATE, frames=frames, times_s=times_s, title="x" * 300, subtitle="y" * 300)
    assert image.width == WIDTH
    pixels = np.asarray(image)
    columns = np.flatnonzero((pixels == 77).all(axis=2).any(axis=0))
    assert columns.min() >= LEFT - 1
    assert columns.max() <= WIDTH - MARGIN


def test_labels_are_drawn_as_long_as_their_cosine():
    frames = np.zeros((1, 20, 20, 3), dtype=np.uint8)
    nearest = [("full", 1.0), ("half", 0.5), ("against", -0.4)]
    image = draw_poster(tone(440, 1.0), RATE, frames=frames, times_s=[0.0], nearest=nearest)
    labels = np.asarray(image)[-140:]
    lengths = (labels == (181, 54, 122)).all(axis=2).sum(axis=1)
    full, half = sorted(set(lengths[lengths > 300].tolist()))[-1], 0.5 * (WIDTH - MARGIN - 90 - 420)
    assert full == pytest.approx(2 * half, abs=3)
    assert np.isclose(lengths, half, atol=3).sum() >= 10
    assert len(np.flatnonzero(np.diff((lengths > 300).astype(int)) == 1)) <= 2
    assert draw_poster(tone(440, 1.0), RATE, frames=frames, times_s=[0.0]).height < image.height


def seen(borders: tuple[tuple[float, bool], ...] = (), onsets: tuple[tuple[float, float], ...] = ()) -> PosterCues:
    times_s = np.arange(100) / 25
    return PosterCues(borders=borders, onsets=onsets, times_s=times_s, activity=np.where(times_s < 2, 0.0, 3.0))


def reddish(pixels: np.ndarray) -> np.ndarray:
    """Where the colour is that of an onset, pale or not."""
    red, green = pixels[..., 0].astype(int), pixels[..., 1].astype(int)
    return red - green > 40


def test_an_onset_stands_at_its_time_and_is_as_high_as_it_is_sure():
    onsets = ((0.5, 1.0), (1.0, 0.5), (1.5, 0.0), (-1.0, 1.0), (4.5, 1.0))
    band = np.asarray(cues_band(seen(onsets=onsets), (400, 60), 4.0))
    high = reddish(band).sum(axis=0)
    places = [np.flatnonzero(high[x - 20 : x + 20]).mean() + x - 20 for x in (50, 100, 150)]
    assert places == pytest.approx([50, 100, 150], abs=1)
    assert high[170:].sum() == high[:30].sum() == 0
    sure, half, unsure = (int(high[x - 3 : x + 3].max()) for x in (50, 100, 150))
    assert 60 - 6 <= sure <= 60
    assert half == pytest.approx((sure + unsure) / 2, abs=2)
    assert unsure >= 6
    strong, pale = (band[50, x - 1 : x + 2].min(axis=0)[1] for x in (50, 100))
    assert strong < pale


def test_what_moves_lies_behind_as_far_as_the_film_goes():
    band = np.asarray(cues_band(seen(), (500, 60), 5.0))
    grey = (np.abs(band.astype(int) - MOVING).max(axis=2) < 6).sum(axis=0)
    assert grey[:195].max() <= 2
    assert grey[210:390].min() >= 50
    assert grey[405:].max() <= 2  # the film ends at 4 s, its sound at 5
    assert (band[:2] == PAPER).all()


def test_a_single_jump_does_not_flatten_what_moves():
    moving = np.ones(200)
    moving[50] = 100.0
    assert relative(moving).tolist() == [1.0] * 200
    assert relative(np.zeros(3)).tolist() == [0.0] * 3


def test_lines_go_through_frames_and_spectrogram_where_a_shot_ends():
    frames = np.full((4, 90, 160, 3), 77, dtype=np.uint8)
    cues = seen(borders=((1.0, False), (3.0, True), (4.0, False), (9.0, False)))

    def drawn(some: PosterCues | None) -> np.ndarray:
        return np.asarray(draw_poster(tone(440, 4.0), RATE, frames=frames, times_s=[0, 1, 2, 3], cues=some)).astype(int)

    without, cut = drawn(seen()), drawn(cues)
    changed = (cut != without).any(axis=2)
    places = [LEFT + PLOT_WIDTH * share // 4 for share in (1, 3)]
    assert np.flatnonzero(changed.any(axis=0)).tolist() == [x + k for x in places for k in (-1, 0, 1)]
    bright = (cut[:, places] >= 240).all(axis=2) & changed[:, places]
    rows = np.flatnonzero(changed[:, places[0]])
    assert (np.diff(rows) == 1).sum() == len(rows) - 2  # one gap, in which the frames' times stand
    assert rows[-1] - rows[np.flatnonzero(np.diff(rows) > 1)[0] + 1] == BAND_HEIGHT + PLOT_HEIGHT
    assert bright[rows, 0].mean() > 0.9
    assert 0.3 < bright[rows, 1].mean() < 0.7  # a dissolve is dashed
    assert len(drawn(None)) < len(without)


def watched() -> Watched:
    times_s = np.arange(50) / 25
    activity = np.ones(50)
    activity[25] = 50.0
    onset = Onset(time_s=0.4, strength=0.3, confidence=0.8)
    cues = Cues(onsets=(onset,), times_s=times_s, activity=activity)
    return Watched(
        cues=cues, borders=(Border(time_s=1.0, kind="cut"), Border(time_s=1.6, kind="dissolve", lasts_s=0.2))
    )


def test_a_sound_carries_what_was_seen_to_its_picture():
    drawn = poster_cues(watched())
    assert drawn is not None
    assert drawn.borders == ((1.0, False), (1.6, True))
    assert drawn.onsets == ((0.4, 0.8),)
    assert drawn.activity.max() == 1.0  # the cut itself is nothing that moves
    still = Watched(cues=Cues(times_s=np.zeros(0), activity=np.zeros(0)))
    assert poster_cues(still) is None
    short = Cues(times_s=np.zeros(1), activity=np.full(1, 2.0))
    alone = poster_cues(Watched(cues=short, borders=(Border(time_s=0.0, kind="cut"),)))
    assert alone is not None
    assert alone.activity.tolist() == [2.0]


def a_sound(seen_over_time: Watched | None) -> Sound:
    seen = Seen([0.5])
    seen.images.append(np.full((30, 40, 3), 90, dtype=np.uint8))
    seen.times_s.append(0.5)
    made_by = Maker(bundle=BundleId(), mapper=None, machine=Machine(device="cpu", dtype="float32"), labels=None)
    return finished(
        Take(nth=1, waveform=tone(440, 2.0), targets=[torch.ones(1, 4) / 2]),
        RATE,
        input_id=InputId(path="", sha256=""),
        settings=Request().settle(SampleOptions(), duration_s=2.0),
        seen=seen,
        maker=made_by,
        notes=(),
        watched=seen_over_time,
    )


def test_the_picture_of_a_sound_shows_what_was_seen_where_it_is_known():
    sound = a_sound(None)
    plain = picture_of(sound, "a.mp4")
    full = picture_of(a_sound(watched()), "a.mp4")
    assert full.height == plain.height + BAND_HEIGHT - 24
    assert reddish(np.asarray(full)[:, LEFT : LEFT + PLOT_WIDTH])[: full.height // 2].any()
    still = Watched(cues=Cues(times_s=np.zeros(0), activity=np.zeros(0)))
    assert picture_of(a_sound(still), "a.mp4").tobytes() == plain.tobytes()
