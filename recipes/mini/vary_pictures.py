"""A photograph as a film might show what is on it: RGB images, 224 x 224 px, in and out of a numpy generator's chances.

A product shot (its border of one colour) is cut out and put before another photograph. Others are cropped, shrunk into
another with soft edges, or cross-faded with one. Then black bars, a coarse resolution, blur, exposure, tint, little colour,
a spotlight, noise and JPEG, each with a chance of its own.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

SIDE = 224  # px
UNIFORM = 0.75  # share of a border that has to be of one colour before it counts as a page
Random = np.random.Generator


def crop(image: Image.Image, random: Random, least: float = 0.25) -> Image.Image:
    """A part of at least that share of the area, sides up to 1.4 to 1, perhaps mirrored."""
    width, height = image.size
    area, ratio = random.uniform(least, 1.0) * width * height, np.exp(random.uniform(-0.35, 0.35))
    w, h = int(min(width, (area * ratio) ** 0.5)), int(min(height, (area / ratio) ** 0.5))
    left, top = int(random.integers(0, width - w + 1)), int(random.integers(0, height - h + 1))
    image = image.crop((left, top, left + w, top + h)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image


def cut_out(image: Image.Image) -> Image.Image | None:
    """Where a 224-px image is not of its border's colour (L, 255 inside); none if the border has several."""
    pixels = np.asarray(image).astype(np.float32)
    border = np.concatenate([pixels[edge].reshape(-1, 3) for edge in np.s_[:6, -6:]] + [pixels[:, :6].reshape(-1, 3)])
    colour = np.median(border, axis=0)
    if (np.abs(border - colour).max(axis=1) < 20).mean() < UNIFORM:
        return None
    mask = (np.abs(pixels - colour).max(axis=2) > 24).astype(np.uint8) * 255
    return Image.fromarray(mask).filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.GaussianBlur(1.2))


def put_before(image: Image.Image, mask: Image.Image, behind: Image.Image, random: Random) -> Image.Image:
    """What the mask shows, turned and shrunk, somewhere in front of another photograph."""
    size, angle = int(SIDE * random.uniform(0.45, 1.0)), float(random.uniform(-35, 35))
    front = image.rotate(angle, Image.Resampling.BICUBIC).resize((size, size))
    alpha = mask.rotate(angle, Image.Resampling.BICUBIC).resize((size, size))
    x, y = random.integers(-size // 6, SIDE - size + size // 6 + 1, 2)
    behind.paste(front, (int(x), int(y)), alpha)
    return crop(behind, random, 0.5) if random.random() < 0.4 else behind


def shrink_into(image: Image.Image, behind: Image.Image, random: Random) -> Image.Image:
    """A smaller copy with soft edges somewhere in another photograph."""
    size = int(SIDE * random.uniform(0.45, 0.85))
    edge = max(2, size // 12)
    mask = Image.new("L", (size, size), 0)
    mask.paste(255, (edge, edge, size - edge, size - edge))
    x, y = random.integers(0, SIDE - size + 1, 2)
    behind.paste(image.resize((size, size)), (int(x), int(y)), mask.filter(ImageFilter.GaussianBlur(edge / 2)))
    return behind


def bars(image: Image.Image, random: Random) -> Image.Image:
    """Black bars above and below, or at both sides, of 6 to 20 % each."""
    pixels = np.array(image)
    width = int(random.uniform(0.06, 0.2) * SIDE)
    across = pixels if random.random() < 0.6 else pixels.transpose(1, 0, 2)
    across[:width], across[SIDE - width :] = 0, 0
    return Image.fromarray(pixels)


def light(pixels: np.ndarray, random: Random) -> np.ndarray:
    """Exposure, tint, colour, a spotlight and noise. pixels: (224, 224, 3) float32, 0 to 1."""
    if random.random() < 0.25:  # the camera moves
        pixels = np.mean([np.roll(pixels, n, 1) for n in range(random.integers(3, 14))], axis=0)
    if random.random() < 0.7:
        pixels = pixels ** np.exp(random.uniform(-0.5, 0.9)) * random.uniform(0.5, 1.25) + random.uniform(-0.05, 0.1)
    if random.random() < 0.5:
        pixels = pixels * random.uniform(0.75, 1.2, 3)
    if random.random() < 0.3:
        grey = pixels.mean(axis=2, keepdims=True)
        pixels = grey + (pixels - grey) * random.uniform(0, 0.8)
    if random.random() < 0.2:
        y, x = np.mgrid[:SIDE, :SIDE] / SIDE
        centre = random.uniform(0.2, 0.8, 2)
        distance = (y - centre[0]) ** 2 + (x - centre[1]) ** 2
        pixels = pixels * np.exp(-distance / random.uniform(0.1, 0.6))[..., None]
    if random.random() < 0.4:
        pixels = pixels + random.normal(0, random.uniform(0.005, 0.05), pixels.shape)
    return pixels


def film_like(image: Image.Image, random: Random) -> Image.Image:
    """Bars, a coarse resolution, blur, light and JPEG."""
    if random.random() < 0.2:
        image = bars(image, random)
    if random.random() < 0.5:
        size = int(random.uniform(48, 150))
        image = image.resize((size, size), Image.Resampling.BILINEAR).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    if random.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0.5, 3))))
    pixels = light(np.asarray(image).astype(np.float32) / 255, random)
    image = Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8))
    if random.random() < 0.7:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(random.integers(12, 75)))
        image = Image.open(file).convert("RGB")
    return image


def vary(image: Image.Image, another: Callable[[], Image.Image], random: Random) -> Image.Image:
    """One variation of an RGB photograph of any size. another: gives some other photograph, to be put behind."""
    square = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    mask, kind = cut_out(square), random.random()
    if mask is not None and random.random() < 0.75:
        image = put_before(square, mask, crop(another(), random, 0.3), random)
    elif kind < 0.62:
        image = crop(image, random)
    elif kind < 0.82:
        image = shrink_into(crop(image, random, 0.5), crop(another(), random, 0.3), random)
    else:
        image = Image.blend(crop(image, random, 0.4), crop(another(), random, 0.4), float(random.uniform(0.1, 0.4)))
    return film_like(image, random)
