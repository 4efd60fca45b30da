"""The small pictures of the page: a film's frames with its shots and onsets, and a sound's waveform and spectrogram."""

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from echoframe.media.frame_array import frames_of
from echoframe.media.poster import magma, mel_image
from echoframe.media.poster_cues import cues_band, draw_borders
from echoframe.media.video import VideoInfo, read_frames
from echoframe.sound.picture import poster_cues
from echoframe.spec import ClipSpec
from echoframe.timing.watch import Watched

WIDTH = 960  # px
N_FRAMES, FRAME_SIDE, BAND_HEIGHT = 8, 68, 22  # frames in the strip; px: their shorter side, and the band below
STILL_SIDE = 720  # px: the shorter side of a picture that is written again, at most
WAVE_HEIGHT, MEL_HEIGHT = 56, 128  # px
PAPER, WAVE, MIDDLE = (16, 16, 24), (122, 166, 240), (60, 60, 74)


def film_strip(info: VideoInfo, watched: Watched) -> Image.Image:
    """Frames from all over the film in a row, lines where shots end, and below them what moves and is struck."""
    spec = ClipSpec(duration_s=info.duration_s or 1.0, n_frames=1 if info.is_still else N_FRAMES)
    (frames,) = frames_of(info, spec, [0.0], short_side=FRAME_SIDE)
    if info.is_still:
        return Image.fromarray(frames.images[0])
    cell = WIDTH // len(frames.images)
    strip = Image.new("RGB", (WIDTH, FRAME_SIDE + BAND_HEIGHT), PAPER)
    for n, image in enumerate(frames.images):
        strip.paste(ImageOps.fit(Image.fromarray(image), (cell, FRAME_SIDE)), (n * cell, 0))
    cues = poster_cues(watched)
    if cues is not None:
        strip.paste(cues_band(cues, (WIDTH, BAND_HEIGHT), info.duration_s), (0, FRAME_SIDE))
        spans = ((0, FRAME_SIDE),)
        draw_borders(strip, cues, left=0, width=WIDTH, duration_s=info.duration_s, spans=spans)
    return strip


def still(info: VideoInfo) -> Image.Image:
    """A picture, for browsers that do not show its file."""
    side = min(STILL_SIDE, info.width, info.height)
    return Image.fromarray(read_frames(info.path, ClipSpec(n_frames=1), short_side=side).images[0])


def heard(waveform: Float[Tensor, "channels samples"], sample_rate: int) -> Image.Image:
    """The waveform over the spectrogram of a sound, all channels as one, both from its beginning to its end."""
    waveform = waveform.mean(dim=0, keepdim=True)
    picture = Image.new("RGB", (WIDTH, WAVE_HEIGHT + MEL_HEIGHT), PAPER)
    draw = ImageDraw.Draw(picture)
    middle = WAVE_HEIGHT // 2
    draw.line((0, middle, WIDTH, middle), fill=MIDDLE)
    for x, part in enumerate(np.array_split(waveform[0].numpy(), WIDTH)):
        if len(part):
            top, bottom = (middle - round(float(edge) * (middle - 1)) for edge in (part.max(), part.min()))
            draw.line((x, top, x, bottom), fill=WAVE)
    mel = Image.fromarray(magma(mel_image(waveform, sample_rate)))
    picture.paste(mel.resize((WIDTH, MEL_HEIGHT), Image.Resampling.BICUBIC), (0, WAVE_HEIGHT))
    return picture
