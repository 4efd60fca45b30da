"""Stills are videos in which nothing moves."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from echoframe.media.video import PICTURE_SUFFIXES, VIDEO_SUFFIXES, is_picture, probe, read_frames
from echoframe.spec import ClipSpec
from planted_video import assert_same_picture, corners, head, numbered, numbers


@pytest.mark.parametrize("suffix", sorted(PICTURE_SUFFIXES - {".avif", ".heic", ".heif"} | {".gif"}))
def test_stills(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"still{suffix}"
    Image.fromarray(corners(160, 80)).save(path)
    frames = read_frames(path, ClipSpec(n_frames=3), start_s=5.0, short_side=32)
    assert frames.images.shape == (3, 32, 64, 3)
    assert frames.mask.all()
    assert (frames.images == frames.images[0]).all()
    assert_same_picture(frames.images[0], corners(), tolerance=30)
    info = probe(path)
    assert (info.width, info.height, info.is_still, info.has_audio) == (160, 80, True, False)
    assert (info.duration_s, info.frame_rate) == (0.0, 0.0)
    assert is_picture(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    inverse = {
        **{1: corners(), 2: np.fliplr(corners()), 3: np.rot90(corners(), 2), 4: np.flipud(corners())},
        **{5: corners().swapaxes(0, 1), 6: np.rot90(corners(), 1), 7: np.rot90(corners().swapaxes(0, 1), 2)},
        8: np.rot90(corners(), -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "still.jpg"
    Image.fromarray(np.ascontiguousarray(inverse[orientation])).save(path, exif=exif, quality=95, subsampling=0)
    assert_same_picture(read_frames(path, ClipSpec(n_frames=1), short_side=32).images[0], corners())
    assert (probe(path).width, probe(path).height) == (64, 32)


def test_still_with_alpha_and_sixteen_bits(tmp_path: Path) -> None:
    rgba = np.full((32, 64, 4), 255, dtype=np.uint8)
    rgba[:, :32, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    shown = read_frames(tmp_path / "alpha.png", ClipSpec(n_frames=1), short_side=32).images[0]
    assert shown[:, :30].max() == 0
    assert shown[:, 34:].min() == 255
    Image.fromarray(np.full((8, 8), 128 * 256, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert (read_frames(tmp_path / "deep.png", ClipSpec(n_frames=1), short_side=8).images == 128).all()


def test_animated_picture_is_a_video(tmp_path: Path) -> None:
    images = [Image.fromarray(numbered(i)) for i in range(4)]
    for name in ("moving.gif", "moving.png"):
        images[0].save(tmp_path / name, save_all=True, append_images=images[1:], duration=100)
        assert not is_picture(tmp_path / name)
        assert numbers(read_frames(tmp_path / name, head(4, 10.0), short_side=48).images) == [0, 1, 2, 3]
    assert not VIDEO_SUFFIXES & PICTURE_SUFFIXES
