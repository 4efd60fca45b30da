"""The camera's own motion between two frames, and what moves beside it.

*Conventions*: frames are luma, (B, H, W) float32 in 0 to 1. A motion is (shift x, shift y, zoom): the place x of a
frame was at centre + zoom (x - centre) + shift in the frame before, in pixels. It is found on what stands out from its
surroundings, so that a flash moves nothing, and by weights that leave out what moves by itself.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, max_pool2d, pad

AROUND = 9  # pixels: the surroundings that a pixel stands out from
N_BEGUN = 3  # shifts that are tried first
LEVELS = ((4, 3), (2, 2), (1, 1))  # how much smaller, and how often a motion is made better there
FAR = 0.5  # of the spread of differences: what differs by more counts less
MOST_ZOOM = 0.1  # between two frames


def _standing_out(frames: Tensor) -> Tensor:
    """(B, H, W): each pixel in units of the spread around it."""
    mean = _around(frames)
    spread = (_around(frames.square()) - mean.square()).clamp(min=0).sqrt()
    return (frames - mean) / (spread + 0.02)


def _around(frames: Tensor) -> Tensor:
    """The mean of the square around each pixel, as far as there are pixels."""
    height, width = frames.shape[1:]
    return _band(height) @ frames @ _band(width).mT


def _band(size: int) -> Tensor:
    near = ((torch.arange(size)[:, None] - torch.arange(size)).abs() <= AROUND // 2).float()
    return near / near.sum(dim=1, keepdim=True)


def warp(frames: Float[Tensor, "b h w"], motion: Float[Tensor, "b 3"]) -> Float[Tensor, "b h w"]:
    """The frames before, moved to where they are seen now; beyond the edge, the edge."""
    height, width = frames.shape[1:]
    zoom, nothing = motion[:, 2], torch.zeros_like(motion[:, 2])
    theta = torch.stack(
        [
            torch.stack([zoom, nothing, 2 * motion[:, 0] / width], dim=1),
            torch.stack([nothing, zoom, 2 * motion[:, 1] / height], dim=1),
        ],
        dim=1,
    )
    grid = affine_grid(theta, [len(frames), 1, height, width], align_corners=False)
    return grid_sample(frames[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]


def camera_motion(frames: Float[Tensor, "t h w"]) -> Float[Tensor, "t-1 3"]:
    """The camera's motion from each frame to the next: (shift x, shift y, zoom), pixels and a factor.

    frames: two at least.
    """
    clear = _standing_out(frames)
    first, second = clear[:-1], clear[1:]
    motion = _begun(clear)
    for smaller, times in LEVELS:
        one, other = (avg_pool2d(each[:, None], smaller)[:, 0] if smaller > 1 else each for each in (first, second))
        scale = torch.tensor([smaller, smaller, 1.0])
        for _ in range(times):
            motion = motion + _step(one, other, motion / scale) * scale
            motion[:, 2].clamp_(1 - MOST_ZOOM, 1 + MOST_ZOOM)
    still = torch.tensor([0.0, 0.0, 1.0]).expand_as(motion)
    # a plain wall is explained by any motion: none is the better answer wherever it explains as much
    better = _apart(first, second, motion) < 0.97 * _apart(first, second, still)
    return torch.where(better[:, None], motion, still)


def _apart(first: Tensor, second: Tensor, motion: Tensor) -> Tensor:
    return (second - warp(first, motion)).abs().clamp(max=1).mean(dim=(1, 2))


def _begun(frames: Tensor) -> Tensor:
    """(T-1, 3): of no motion and the likeliest shifts, the one that leaves the least, to the pixel.

    The likeliest of all may be that of a thing with much detail before a plain wall.
    """
    small = avg_pool2d(frames[:, None], 2)[:, 0]
    half = torch.tensor([0.5, 0.5, 1.0])
    shifts = torch.cat([torch.zeros(len(frames) - 1, 1, 2), _shifts(frames)], dim=1)
    motions = torch.cat([shifts, torch.ones(len(shifts), N_BEGUN + 1, 1)], dim=2)  # (T-1, N, 3)
    left = torch.stack([_apart(small[:-1], small[1:], each * half) for each in motions.unbind(dim=1)], dim=1)
    return motions[torch.arange(len(motions)), left.argmin(dim=1)]


def _shifts(frames: Tensor) -> Tensor:
    """(T-1, N, 2): the likeliest from each frame to the next, by phase correlation (Kuglin and Hines 1975)."""
    height, width = frames.shape[1:]
    window = torch.hann_window(height, periodic=False)[:, None] * torch.hann_window(width, periodic=False)
    waves = torch.fft.rfft2(frames * window)
    cross = waves[:-1] * waves[1:].conj()
    found = torch.fft.irfft2(cross / (cross.abs() + 1e-6), s=(height, width))
    around = max_pool2d(pad(found[:, None], (1, 1, 1, 1), mode="circular"), 3, stride=1)[:, 0]
    peaks = found.where(found == around, -1.0).flatten(1).topk(N_BEGUN, dim=1).indices
    y, x = peaks // width, peaks % width
    y, x = torch.where(y > height // 2, y - height, y), torch.where(x > width // 2, x - width, x)
    return torch.stack([x, y], dim=2).float()


def _step(first: Tensor, second: Tensor, motion: Tensor) -> Tensor:
    """What makes a motion better: one step of Gauss and Newton with Cauchy weights (Lucas and Kanade 1981)."""
    height, width = first.shape[1:]
    moved = warp(first, motion)
    gradient_y, gradient_x = torch.gradient(moved, dim=(1, 2))
    wrong = second - moved
    ys, xs = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    towards = gradient_x * xs + gradient_y * ys[:, None]
    ways = torch.stack([gradient_x, gradient_y, towards], dim=1)[:, :, 1:-1, 1:-1].flatten(2)  # (B, 3, P)
    wrong = wrong[:, 1:-1, 1:-1].flatten(1)
    weights = 1 / (1 + (wrong / FAR).square())
    weighted = ways * weights[:, None]
    normal = weighted @ ways.mT + 1e-3 * ways.shape[2] * torch.diag(torch.tensor([0.1, 0.1, 100.0]))
    return torch.linalg.solve(normal, (weighted @ wrong[..., None])[..., 0])
