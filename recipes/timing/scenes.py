"""What happens in the made films: things that hit each other at known times, and things that only move.

*Conventions*: the picture is 1 high and 16/9 wide, y points down. A `Scene` says for any time which shapes are seen and how
bright the light is, and when something is struck: the moments at which a sound would begin.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

WIDTH = 16 / 9
STEP_S = 1 / 480  # of the paths that are computed ahead
GRAVITY = 2.2  # heights of the picture a second, squared
LEAST_SPEED = 0.35  # of an impact that can be heard, heights a second


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A bar from (x0, y0) to (x1, y1) with round ends, `radius` thick to each side; a disc where both are one.

    shade: brightness, 0 to 1. tint: its colour, (3,). grain: how much its surface varies. flat: squeezes a disc, 1 is round.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    radius: float
    shade: float
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    grain: float = 0.0
    flat: float = 1.0


Event = tuple[float, float, float]  # when, in seconds, and where


@dataclass(frozen=True, kw_only=True)
class Scene:
    """shapes: what is seen at a time in seconds, the nearest last. light: how bright it is, 1 is usual. struck: when
    something is, in seconds, and where.
    """

    shapes: Callable[[float], list[Shape]]
    struck: list[Event]
    light: Callable[[float], float] = field(default=lambda _: 1.0)


Paint = dict[str, object]


def _paint(random: np.random.Generator, ground: float) -> Paint:
    """A shade that stands out against the ground, and a colour."""
    shade = random.uniform(0.05, 0.95)
    while abs(shade - ground) < 0.2:
        shade = random.uniform(0.05, 0.95)
    tint = tuple(float(c) for c in random.uniform(0.6, 1.0, 3))
    return {"shade": float(shade), "tint": tint, "grain": float(random.choice([0.0, 0.1, 0.3]))}


def disc(x: float, y: float, radius: float, paint: Paint, flat: float = 1.0) -> Shape:
    return Shape(x0=x, y0=y, x1=x, y1=y, radius=radius, flat=flat, **paint)  # type: ignore[arg-type]


def bar(x0: float, y0: float, x1: float, y1: float, radius: float, paint: Paint) -> Shape:
    return Shape(x0=x0, y0=y0, x1=x1, y1=y1, radius=radius, **paint)  # type: ignore[arg-type]


def _at(times: np.ndarray, values: np.ndarray, t: float) -> float:
    return float(np.interp(t, times, values))


def bouncing(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """One or two balls that fall, bounce until they lie, and are lifted again."""
    floor, balls = random.uniform(0.7, 0.92), []
    struck: list[Event] = []
    times = np.arange(0, length_s + 1, STEP_S)
    for _ in range(random.integers(1, 3)):
        radius, keeps = random.uniform(0.04, 0.12), random.uniform(0.55, 0.85)
        x, drift = random.uniform(0.2, WIDTH - 0.2), random.uniform(-0.3, 0.3)
        low, pull = floor - radius, GRAVITY * random.uniform(0.7, 1.6)
        heights, xs = np.empty(len(times)), np.empty(len(times))
        y, speed, resting, lift = low - random.uniform(0.3, 0.55), 0.0, 0.0, 1.0
        top, held = y, random.uniform(0, 0.8)
        for i, t in enumerate(times):
            if held > 0:
                held -= STEP_S
            elif resting > 0:  # lifted again, slowly
                resting -= STEP_S
                y = low + (top - low) * 0.5 * (1 - math.cos(math.pi * (1 - max(resting, 0) / lift)))
                speed = 0.0
                held = random.uniform(0.1, 0.5) if resting <= 0 else 0.0
            else:
                speed += pull * STEP_S
                y += speed * STEP_S
                if y >= low:
                    if speed > LEAST_SPEED:
                        struck.append((float(t), x, floor))
                        speed, y = -keeps * speed, low
                    else:
                        speed, y = 0.0, low
                        resting = lift = random.uniform(0.6, 1.2)
                        top = low - random.uniform(0.3, 0.55)
            x += drift * STEP_S
            if not radius < x < WIDTH - radius:
                drift = -drift
                if abs(drift) > LEAST_SPEED:
                    struck.append((float(t), x, y))
            heights[i], xs[i] = y, x
        balls.append((radius, _paint(random, ground), heights, xs))
    plank = bar(-1, floor + 0.2, WIDTH + 1, floor + 0.2, 0.2, _paint(random, ground))

    def shapes(t: float) -> list[Shape]:
        return [plank, *(disc(_at(times, xs, t), _at(times, ys, t), r, paint) for r, paint, ys, xs in balls)]

    return Scene(shapes=shapes, struck=struck)


def hammering(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """An arm with a head that is raised and strikes; sometimes it is only raised and lowered."""
    period = random.uniform(0.35, 1.1)
    keys: list[tuple[float, float]] = [(0.0, 0.0)]  # time, how far it is raised (0 to 1)
    struck: list[float] = []
    t = random.uniform(0, period)
    while t < length_s:
        keys.append((t, 0.0))
        reach = random.uniform(0.5, 1.0)
        rise = period * random.uniform(0.4, 0.6)
        if random.random() < 0.15:  # raised and lowered: nothing is struck
            for share in np.linspace(0, 1, 17)[1:]:
                keys.append((t + 2 * rise * share, 0.5 * reach * (1 - math.cos(2 * math.pi * share))))
            t += 2 * rise + random.uniform(0.1, 0.4)
            continue
        for share in np.linspace(0, 1, 9)[1:]:
            keys.append((t + rise * share, reach * 0.5 * (1 - math.cos(math.pi * share))))
        fall = random.uniform(0.06, 0.16)
        for share in np.linspace(0, 1, 9)[1:]:
            keys.append((t + rise + fall * share, reach * (1 - share**2)))
        hit = t + rise + fall
        if hit < length_s:
            struck.append(hit)
        back = random.uniform(0, 0.12) * reach
        keys.append((hit + 0.06, back))
        keys.append((hit + 0.14, 0.0))
        t = hit + 0.15 + random.uniform(0, 0.4) * period + (random.uniform(0.5, 1.5) if random.random() < 0.1 else 0)
    times, raised = np.array([k[0] for k in keys]), np.array([k[1] for k in keys])
    side = random.choice([-1.0, 1.0])
    px, py = WIDTH / 2 - side * random.uniform(0.25, 0.5), random.uniform(0.5, 0.75)
    length, swing = random.uniform(0.3, 0.5), random.uniform(0.5, 1.2)
    arm, head, block = (_paint(random, ground) for _ in range(3))
    thick, big = random.uniform(0.015, 0.05), random.uniform(0.04, 0.09)
    rest = random.uniform(0.0, 0.3)

    def shapes(t: float) -> list[Shape]:
        angle = rest - swing * _at(times, raised, t)
        x, y = px + side * length * math.cos(angle), py + length * math.sin(angle)
        low_y = py + length * math.sin(rest) + big
        bx = px + side * length * math.cos(rest)
        return [
            bar(bx - 0.12, low_y + 0.1, bx + 0.12, low_y + 0.1, 0.1, block),
            bar(px, py, x, y, thick, arm),
            disc(x, y, big, head),
        ]

    hx, hy = px + side * length * math.cos(rest), py + length * math.sin(rest)
    return Scene(shapes=shapes, struck=[(t, hx, hy) for t in struck])


def stepping(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """A walker seen from the side: a foot swings and is put down, then the other."""
    pace, scale = random.uniform(0.32, 0.75), random.uniform(0.45, 0.8)
    floor = random.uniform(0.8, 0.95)
    stride = random.uniform(0.18, 0.3) * scale
    lift = random.uniform(0.03, 0.09) * scale
    walks = random.random() < 0.5  # across the picture, or the camera goes with it
    direction = random.choice([-1.0, 1.0])
    begin = random.uniform(0, pace)
    steps, t = [], begin
    while t < length_s + 2:
        steps.append(t)
        t += pace * random.uniform(0.93, 1.07)
    land = np.array(steps)
    body, legs, plank = (_paint(random, ground) for _ in range(3))
    x_begin = random.uniform(0.1, 0.5) if walks else WIDTH / 2
    start_x = x_begin if direction > 0 else WIDTH - x_begin

    def foot(t: float, which: int) -> tuple[float, float]:
        """Where a foot is, along the way in strides, and its height."""
        done = int(np.searchsorted(land, t, side="right"))  # feet put down so far; the next is number `done`
        previous = land[done - 1] if done else begin - pace
        share = min(max((t - previous) / (land[done] - previous), 0.0), 1.0)
        own = done if done % 2 == which else done - 1
        if done % 2 == which:  # it swings: quickest in the middle, down hard at the end
            eased = share - math.sin(2 * math.pi * share) / (2 * math.pi) * 0.6
            return done - 1 + (2 * eased - 1), lift * math.sin(math.pi * share**0.8)
        return float(own), 0.0

    def shapes(t: float) -> list[Shape]:
        done = int(np.searchsorted(land, t, side="right"))
        previous = land[done - 1] if done else begin - pace
        share = min(max((t - previous) / (land[done] - previous), 0.0), 1.0)
        hip = done - 1 + share - 0.5
        offset = 0.0 if walks else -hip
        hip_x = start_x + direction * stride * (hip + offset)
        hip_y = floor - 0.42 * scale + 0.012 * scale * math.cos(2 * math.pi * share)
        ground_shift = 0.0 if walks else direction * stride * hip
        found = [bar(-1, floor + 0.2, WIDTH + 1, floor + 0.2, 0.2, plank)]
        if not walks:  # the ground goes by
            marks = np.arange(-1.0, WIDTH + 1, 0.25)
            found += [disc(float((m - ground_shift) % (WIDTH + 2) - 1), floor + 0.05, 0.03, body) for m in marks]
        for which in (0, 1):
            along, height = foot(t, which)
            x = start_x + direction * stride * (along + offset)
            found.append(bar(hip_x, hip_y, x, floor - 0.03 - height, 0.03 * scale + 0.01, legs))
            found.append(
                bar(x, floor - 0.025 - height, x + direction * 0.07 * scale, floor - 0.025 - height, 0.025, legs)
            )
        found.append(bar(hip_x, hip_y, hip_x + 0.01, hip_y - 0.3 * scale, 0.08 * scale, body))
        found.append(disc(hip_x + 0.015, hip_y - 0.44 * scale, 0.07 * scale, legs))
        return found

    def lands(n: int) -> float:
        """Where the foot of step n is put down."""
        hip = n + 0.5
        return start_x + direction * stride * (n + 1.0 + (0.0 if walks else -hip))

    return Scene(shapes=shapes, struck=[(t, lands(n), floor) for n, t in enumerate(steps) if t < length_s])


def flashing(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """A light that flashes up and dies away: in one place, or over all that is seen."""
    t, struck = random.uniform(0.1, 1.2), []
    often = random.uniform(0.3, 1.4)
    while t < length_s:
        struck.append(t)
        t += 0.16 + random.exponential(often)
    when = np.array(struck)
    strong = random.uniform(0.4, 1.5, len(when)) if len(when) else when
    fade = random.uniform(0.03, 0.3)
    everywhere = random.random() < 0.5
    x, y, radius = random.uniform(0.3, WIDTH - 0.3), random.uniform(0.2, 0.8), random.uniform(0.05, 0.3)
    things = [
        disc(random.uniform(0, WIDTH), random.uniform(0.2, 1), random.uniform(0.05, 0.2), _paint(random, ground))
        for _ in range(random.integers(1, 5))
    ]
    slow, depth = random.uniform(1.5, 4), random.uniform(0, 0.12)

    def glow(t: float) -> float:
        past = t - when
        lit = (past >= 0) & (past < 12 * fade)
        return float((strong[lit] * np.exp(-past[lit] / fade)).sum()) if len(when) else 0.0

    def light(t: float) -> float:
        return 1 + depth * math.sin(2 * math.pi * t / slow) + (0.9 * glow(t) if everywhere else 0.1 * glow(t))

    def shapes(t: float) -> list[Shape]:
        lamp = {"shade": min(0.1 + 0.9 * glow(t), 1.6), "tint": (1.0, 0.95, 0.8), "grain": 0.0}
        return [*things, *([] if everywhere else [disc(x, y, radius, lamp)])]

    return Scene(
        shapes=shapes, struck=[(t, *((WIDTH / 2, 0.5) if everywhere else (x, y))) for t in struck], light=light
    )


def dropping(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """Things that fall, one after the other, and stay where they land."""
    floor = random.uniform(0.7, 0.95)
    plank = bar(-1, floor + 0.2, WIDTH + 1, floor + 0.2, 0.2, _paint(random, ground))
    falls: list[tuple[float, float, float, float, float, Paint]] = []
    t = random.uniform(0.0, 0.8)
    while t < length_s:
        radius, height = random.uniform(0.03, 0.1), random.uniform(0.3, 0.7)
        pull = GRAVITY * random.uniform(0.8, 1.5)
        falls.append((t, random.uniform(0.15, WIDTH - 0.15), radius, height, pull, _paint(random, ground)))
        t += random.uniform(0.35, 1.6)
    struck = sorted((t + math.sqrt(2 * height / pull), x, floor) for t, x, _, height, pull, _ in falls)

    def shapes(t: float) -> list[Shape]:
        found = [plank]
        for begin, x, radius, height, pull, paint in falls:
            past = t - begin
            if past < -0.25:
                continue
            fallen = min(0.5 * pull * max(past, 0.0) ** 2, height)
            # carried in from above, let go, then it lies
            enter = 0.0 if past >= 0 else (past / 0.25) ** 2
            found.append(disc(x, floor - radius - height + fallen - enter * (floor - height + radius), radius, paint))
        return found

    return Scene(shapes=shapes, struck=[each for each in struck if each[0] < length_s])


def clapping(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """Two hands that come together, touch, and part; with pauses in which they move without touching."""
    period, x, y = random.uniform(0.22, 0.8), random.uniform(0.5, WIDTH - 0.5), random.uniform(0.35, 0.7)
    wide, size, turn = random.uniform(0.08, 0.25), random.uniform(0.05, 0.11), random.uniform(-0.5, 0.5)
    keys: list[tuple[float, float]] = [(0.0, 1.0)]
    struck: list[float] = []
    t = random.uniform(0.1, 0.7)
    while t < length_s:
        own = period * random.uniform(0.9, 1.1)
        for share in np.linspace(0, 1, 9):
            keys.append((t + 0.4 * own * share, 1 - share**1.6))
        hit = t + 0.4 * own
        struck.append(hit)
        keys.append((hit + min(0.03, 0.1 * own), 0.0))
        for share in np.linspace(0, 1, 9)[1:]:
            keys.append((hit + 0.1 * own + 0.5 * own * share, math.sin(0.5 * math.pi * share)))
        t = hit + 0.6 * own
        if random.random() < 0.12:  # a wave that touches nothing
            still = random.uniform(0.6, 1.2)
            for share in np.linspace(0, 1, 17)[1:]:
                keys.append((t + still * share, 1 - 0.25 * (1 - math.cos(2 * math.pi * share))))
            t += still
        t += 0.005
    times, apart = np.array([k[0] for k in keys]), np.array([k[1] for k in keys])
    hand, sleeve = _paint(random, ground), _paint(random, ground)

    def shapes(t: float) -> list[Shape]:
        half = size * 0.55 + 0.5 * wide * _at(times, apart, t)
        dx, dy = half * math.cos(turn), half * math.sin(turn)
        found = []
        for sign in (-1, 1):
            hx, hy = x + sign * dx, y + sign * dy
            found.append(bar(hx, hy, hx + sign * 0.3, hy + 0.45, 0.045, sleeve))
            found.append(bar(hx, hy - size, hx, hy + size, size * 0.55, hand))
        return found

    return Scene(shapes=shapes, struck=[(t, x, y) for t in struck if t < length_s])


def swinging(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """A pendulum or two: they turn back softly, and nothing is struck."""
    arms = [
        (random.uniform(0.6, 2.5), random.uniform(0.2, 0.9), random.uniform(0, 6), random.uniform(0.2, WIDTH - 0.2))
        for _ in range(random.integers(1, 3))
    ]
    rope, bob, size = _paint(random, ground), _paint(random, ground), random.uniform(0.04, 0.1)
    length = random.uniform(0.4, 0.7)

    def shapes(t: float) -> list[Shape]:
        found = []
        for period, swing, phase, px in arms:
            angle = swing * math.sin(2 * math.pi * t / period + phase)
            x, y = px + length * math.sin(angle), 0.1 + length * math.cos(angle)
            found += [bar(px, 0.1, x, y, 0.01, rope), disc(x, y, size, bob)]
        return found

    return Scene(shapes=shapes, struck=[])


def running(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """An engine: a wheel that turns and a body that trembles, faster and slower."""
    rate, depth, slow = random.uniform(1, 6), random.uniform(0.1, 0.6), random.uniform(1.5, 5)
    x, y, size = random.uniform(0.5, WIDTH - 0.5), random.uniform(0.4, 0.7), random.uniform(0.12, 0.25)
    body, wheel, spoke = (_paint(random, ground) for _ in range(3))
    tremble, n_spokes = random.uniform(0, 0.01), random.integers(3, 7)

    def shapes(t: float) -> list[Shape]:
        turned = 2 * math.pi * rate * (t - depth * slow / (2 * math.pi) * math.cos(2 * math.pi * t / slow))
        shake = tremble * math.sin(2 * math.pi * 9.3 * t)
        found = [bar(x - 0.3, y - 0.2 + shake, x + 0.3, y - 0.2 + shake, 0.15, body), disc(x, y + shake, size, wheel)]
        for k in range(n_spokes):
            angle = turned + 2 * math.pi * k / n_spokes
            end_x, end_y = x + 0.9 * size * math.cos(angle), y + shake + 0.9 * size * math.sin(angle)
            found.append(bar(x, y + shake, end_x, end_y, 0.015, spoke))
        return found

    return Scene(shapes=shapes, struck=[])


def drifting(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """Rain, leaves, snow or smoke: many small things that go their way."""
    n, down = random.integers(5, 40), random.uniform(-0.3, 1.2)
    starts = random.uniform(-0.2, 1.2, (n, 2)) * (WIDTH, 1)
    sway, paint, size = random.uniform(0, 0.1), _paint(random, ground), random.uniform(0.005, 0.04)
    speeds = down * random.uniform(0.7, 1.3, n)

    def shapes(t: float) -> list[Shape]:
        return [
            disc(
                float(x + sway * math.sin(3 * t + k)) % (WIDTH + 0.4) - 0.2,
                float(y + speed * t) % 1.4 - 0.2,
                size,
                paint,
            )
            for k, ((x, y), speed) in enumerate(zip(starts, speeds, strict=True))
        ]

    return Scene(shapes=shapes, struck=[])


STRIKING = {
    "bouncing": bouncing,
    "hammering": hammering,
    "stepping": stepping,
    "flashing": flashing,
    "dropping": dropping,
    "clapping": clapping,
}
CALM = {"swinging": swinging, "running": running, "drifting": drifting}
