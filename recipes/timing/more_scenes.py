"""More kinds of events to learn from, so that those which are never learned from are understood: what they share is that
something in quick motion stops, turns or vanishes at once.

*Conventions*: those of `scenes.py`.
"""

import math

import numpy as np

from scenes import GRAVITY, WIDTH, Paint, Scene, Shape, _at, _paint, bar, disc


def strokes(random: np.random.Generator, length_s: float) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """(times, how far it is away: 1 to 0, when it arrives with a blow). Sometimes it arrives softly, or turns back before.

    Half of them are regular, as work, play and applause are: a blow takes as long as the next, and so does the way back.
    """
    often, blow, pause = random.uniform(0.12, 1.0), random.uniform(0.05, 0.4), random.uniform(0.0, 0.5)
    power, rebound = random.uniform(1.0, 2.2), random.uniform(0, 0.5)
    t, times, away, struck = random.uniform(0, 0.8), [0.0], [1.0], []
    springs, regular = random.random() < 0.5, random.random() < 0.5
    least = 0.9 if regular else 0.5
    touches = random.uniform(0.0, 0.08)  # how long it stays where it struck
    share = np.linspace(0, 1, 9)[1:]
    ease = 0.5 - 0.5 * np.cos(np.pi * share)
    while t < length_s:
        times.append(t)
        away.append(1.0)
        if random.random() < 0.18:  # soft, or not all the way
            end, takes = random.uniform(0.0, 0.6), random.uniform(0.15, 1.0)
            times += list(t + takes * share)
            away += list(1 - (1 - end) * ease)
            t += takes
        else:
            takes, end = blow * random.uniform(0.8, 1.25), 0.0
            times += list(t + takes * share)
            away += list(1 - share**power)
            t += takes
            struck.append(t)
            if springs and random.random() < 0.8:  # it comes back at once
                t += touches
                times.append(t)
                away.append(0.0)
                takes = often * random.uniform(least, 1.0)
                times += list(t + takes * share)
                away += list(np.sin(0.5 * np.pi * share))
                t += takes + 0.005
                continue
            if rebound > 0.1:
                back = rebound * random.uniform(0.5, 1)
                takes = random.uniform(0.05, 0.15)
                times += list(t + takes * share)
                away += list(back * np.sin(0.5 * np.pi * share))
                t, end = t + takes, back
        if random.random() < 0.5 and not regular:
            t += random.uniform(0, pause) + 0.01
            times.append(t)
            away.append(end)
        takes = often * random.uniform(least, 1.2)
        times += list(t + takes * share)
        away += list(end + (1 - end) * ease)
        t += takes + (random.uniform(0, pause) if random.random() < 0.5 and not regular else 0.0) + 0.005
    order = np.maximum.accumulate(np.array(times))
    return order, np.array(away), [s for s in struck if s < length_s]


def body(random: np.random.Generator, ground: float) -> list[tuple[float, float, float, float, float, Paint]]:
    """Something of one to four bars and discs, around its front at (0, 0), that lies towards positive x."""
    parts = []
    for _ in range(random.integers(1, 5)):
        size = random.uniform(0.015, 0.1)
        x, y = size + random.uniform(0, 0.15), random.uniform(-0.15, 0.15)
        far = random.uniform(0, 0.7) if random.random() < 0.6 else 0.0
        turn = random.uniform(-1.3, 1.3)
        parts.append((x, y, x + far * math.cos(turn), y + far * math.sin(turn), size, _paint(random, ground)))
    return parts


def meeting(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """Two things of any form that run into each other: one is struck, or both move; up to two others go their way softly."""
    angle, reach = random.uniform(0, 2 * math.pi), random.uniform(0.05, 0.5)
    x, y = random.uniform(0.5, WIDTH - 0.5), random.uniform(0.35, 0.65)
    own = float(random.choice([0.0, 0.5, random.uniform(0, 1)]))  # of the way: the second one's
    times, away, struck = strokes(random, length_s)
    one, other = body(random, ground), body(random, ground)
    bystanders = [
        (body(random, ground), random.uniform(0.2, 1.6), random.uniform(0, WIDTH), random.uniform(0.1, 0.9))
        for _ in range(random.integers(0, 3))
    ]
    swing, turned = random.uniform(0.03, 0.3), random.uniform(0, 2 * math.pi)
    ux, uy = math.cos(angle), math.sin(angle)

    def placed(parts: list, px: float, py: float, cos: float, sin: float) -> list[Shape]:
        found = []
        for x0, y0, x1, y1, size, paint in parts:
            ends = [(px + a * cos - b * sin, py + a * sin + b * cos) for a, b in ((x0, y0), (x1, y1))]
            found.append(bar(*ends[0], *ends[1], size, paint))
        return found

    def shapes(t: float) -> list[Shape]:
        found = []
        for parts, period, bx, by in bystanders:
            gone = swing * math.sin(2 * math.pi * t / period)
            found += placed(parts, bx + gone * math.cos(turned), by + gone * math.sin(turned), ux, uy)
        way = reach * _at(times, away, t)
        far, back = (1 - own) * way, own * way
        found += placed(other, x - ux * back, y - uy * back, -ux, -uy)
        return found + placed(one, x + ux * far, y + uy * far, ux, uy)

    return Scene(shapes=shapes, struck=[(t, x, y) for t in struck])


def colliding(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """A thing runs into another one, from any side; the other gives way a little and comes back."""
    times, away, struck = strokes(random, length_s)
    angle, reach = random.uniform(0, 2 * math.pi), random.uniform(0.1, 0.6)
    x, y = random.uniform(0.5, WIDTH - 0.5), random.uniform(0.35, 0.65)
    size, other, give = random.uniform(0.03, 0.12), random.uniform(0.05, 0.2), random.uniform(0, 0.08)
    first, second = _paint(random, ground), _paint(random, ground)
    is_bar, own = (
        random.random() < 0.5,
        random.uniform(0, 0.6) if random.random() < 0.5 else 0.0,
    )  # of the way: the other's

    def shapes(t: float) -> list[Shape]:
        ux, uy = math.cos(angle), math.sin(angle)
        past = min((t - s for s in struck if s <= t), default=9.0)
        shift = give * math.exp(-past / 0.12) * min(past / 0.03, 1.0)
        way = reach * _at(times, away, t)
        far, back = size + other + (1 - own) * way - shift, own * way + shift
        mx, my, ox, oy = x + ux * far, y + uy * far, x - ux * back, y - uy * back
        mover = bar(mx, my, mx - uy * size, my + ux * size, size, first) if is_bar else disc(mx, my, size, first)
        return [disc(ox, oy, other, second), mover]

    place = x + math.cos(angle) * other, y + math.sin(angle) * other
    return Scene(shapes=shapes, struck=[(t, *place) for t in struck])


def drumming(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """One to three sticks on a drum."""
    n = int(random.integers(1, 4))
    sticks = [strokes(random, length_s) for _ in range(n)]
    y, reach, long = random.uniform(0.55, 0.8), random.uniform(0.2, 0.8), random.uniform(0.25, 0.5)
    paint, drum, thick = _paint(random, ground), _paint(random, ground), random.uniform(0.008, 0.025)
    x = random.uniform(0.5, WIDTH - 0.5)

    def shapes(t: float) -> list[Shape]:
        found = [bar(x - 0.3, y + 0.12, x + 0.3, y + 0.12, 0.1, drum)]
        for k, (times, away, _) in enumerate(sticks):
            side, px = (-1) ** k, x + (k - n / 2) * 0.2
            angle = -reach * _at(times, away, t)
            found.append(
                bar(
                    px + side * long,
                    y,
                    px + side * long * (1 - math.cos(angle)),
                    y + long * math.sin(angle),
                    thick,
                    paint,
                )
            )
        return found

    struck = sorted((t, x + (k - n / 2) * 0.2, y) for k, (_, _, own) in enumerate(sticks) for t in own)
    return Scene(shapes=shapes, struck=struck)


def shutting(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """A lid, a door or a jaw on a hinge that falls shut."""
    times, away, struck = strokes(random, length_s)
    px, py = random.uniform(0.4, WIDTH - 0.4), random.uniform(0.35, 0.8)
    long, wide, rest = random.uniform(0.25, 0.5), random.uniform(0.3, 1.5), random.uniform(0, 2 * math.pi)
    lid, frame, thick = _paint(random, ground), _paint(random, ground), random.uniform(0.015, 0.06)

    def shapes(t: float) -> list[Shape]:
        angle = rest - wide * _at(times, away, t)
        ends = [(px + long * math.cos(a), py + long * math.sin(a)) for a in (rest + 2 * thick / long, angle)]
        return [bar(px, py, *ends[0], thick, frame), bar(px, py, *ends[1], thick, lid)]

    place = px + 0.7 * long * math.cos(rest), py + 0.7 * long * math.sin(rest)
    return Scene(shapes=shapes, struck=[(t, *place) for t in struck])


def pressing(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """Keys, stamps or pistons, side by side."""
    n = int(random.integers(1, 5))
    each = [strokes(random, length_s) for _ in range(n)]
    y, reach, size = random.uniform(0.5, 0.8), random.uniform(0.04, 0.25), random.uniform(0.04, 0.12)
    paint, bed, upside = _paint(random, ground), _paint(random, ground), random.random() < 0.3
    xs = np.linspace(0.3, WIDTH - 0.3, n + 2)[1:-1] if n > 1 else [random.uniform(0.4, WIDTH - 0.4)]

    def shapes(t: float) -> list[Shape]:
        found = [bar(-1, y + 0.2, WIDTH + 1, y + 0.2, 0.2, bed)]
        for x, (times, away, _) in zip(xs, each, strict=True):
            top = y - size - reach * _at(times, away, t)
            found.append(bar(float(x), top - 0.15, float(x), top, size, paint))
        return [Shape(**{**_fields(s), "y0": 1 - s.y0, "y1": 1 - s.y1}) for s in found] if upside else found

    struck = sorted((t, float(x), 1 - y if upside else y) for x, (_, _, own) in zip(xs, each, strict=True) for t in own)
    return Scene(shapes=shapes, struck=struck)


def _fields(shape: Shape) -> dict[str, object]:
    return {name: getattr(shape, name) for name in shape.__dataclass_fields__}


def throwing(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """Things that fly at a wall from the side: they stick to it, fall down softly, or come back."""
    side, wall, after = random.choice([-1, 1]), random.uniform(0.15, 0.4), int(random.integers(0, 3))
    paint, brick, size = _paint(random, ground), _paint(random, ground), random.uniform(0.02, 0.08)
    flights: list[tuple[float, float, float, float]] = []
    t = random.uniform(0, 0.8)
    while t < length_s:
        flights.append((t, random.uniform(0.2, 0.5), random.uniform(0.2, 0.7), random.uniform(-0.3, 0.1)))
        t += flights[-1][1] + random.uniform(0.2, 1.2)
    way = WIDTH - wall - size

    def shapes(t: float) -> list[Shape]:
        found = [bar(wall / 2, -1, wall / 2, 2, wall / 2, brick)]
        for begin, takes, y, rise in flights:
            past = t - begin
            if not 0 <= past < takes + 2.5:
                continue
            share = min(past / takes, 1.0)
            late = max(past - takes, 0.0)
            fx = wall + size + way * (1 - share)
            fy = y + rise * share * (1 - share)
            if after == 1:
                fx, fy = fx + 0.1 * min(late, 0.5), fy + 0.5 * GRAVITY * late * late
            elif after == 2:
                fx, fy = fx + 0.8 * late, fy + 0.5 * GRAVITY * late * late * 0.6
            elif late > 1.5:
                continue
            found.append(disc(fx, fy, size, paint))
        return found if side > 0 else [Shape(**{**_fields(s), "x0": WIDTH - s.x0, "x1": WIDTH - s.x1}) for s in found]

    x = wall if side > 0 else WIDTH - wall
    return Scene(shapes=shapes, struck=[(b + takes, x, y) for b, takes, y, _ in flights if b + takes < length_s])


def toppling(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """Posts that fall over, one after the other, and are gone a while after."""
    floor, n = random.uniform(0.75, 0.92), 0
    falls: list[tuple[float, float, float, float, Paint]] = []
    t = random.uniform(0, 0.6)
    plank = bar(-1, floor + 0.2, WIDTH + 1, floor + 0.2, 0.2, _paint(random, ground))
    while t < length_s:
        takes, high = random.uniform(0.25, 0.7), random.uniform(0.2, 0.55)
        falls.append(
            (t, takes, random.uniform(0.6, WIDTH - 0.6), high * random.choice([-1, 1]), _paint(random, ground))
        )
        t += random.uniform(0.4, 1.5)
        n += 1
    thick = random.uniform(0.02, 0.06)

    def shapes(t: float) -> list[Shape]:
        found = [plank]
        for begin, takes, x, high, paint in falls:
            past = t - begin
            if not -0.8 <= past < takes + 1.0:
                continue
            angle = 0.5 * math.pi * min(max(past / takes, 0.0), 1.0) ** 2.2
            rise = 0.0 if past > -0.4 else (-0.4 - past) / 0.4  # it comes up from below
            foot = floor - thick + rise * (abs(high) + thick)
            end_x, end_y = x + high * math.sin(angle), foot - abs(high) * math.cos(angle)
            found.append(bar(x, foot, end_x, end_y, thick, paint))
        return found

    struck = [(b + takes, x + 0.5 * high, floor) for b, takes, x, high, _ in falls if b + takes < length_s]
    return Scene(shapes=shapes, struck=struck)


def popping(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """Bubbles that grow and burst: they are gone at once, or their pieces fly."""
    pops: list[tuple[float, float, float, float, float, Paint]] = []
    t, pieces = random.uniform(0, 0.5), int(random.integers(0, 9))
    while t < length_s:
        life = random.uniform(0.5, 1.6)
        place = random.uniform(0.25, WIDTH - 0.25), random.uniform(0.25, 0.75)
        pops.append((t, life, *place, random.uniform(0.06, 0.2), _paint(random, ground)))
        t += random.uniform(0.25, 1.3)
    struck = sorted((t + life, x, y) for t, life, x, y, _, _ in pops if t + life < length_s)

    def shapes(t: float) -> list[Shape]:
        found = []
        for begin, life, x, y, size, paint in pops:
            past = t - begin
            if 0 <= past < life:
                found.append(disc(x, y, size * math.sin(0.5 * math.pi * past / life), paint))
            elif life <= past < life + 0.3:
                far = size + 1.2 * (past - life)
                for k in range(pieces):
                    angle = 2 * math.pi * k / pieces
                    found.append(disc(x + far * math.cos(angle), y + far * math.sin(angle), 0.15 * size, paint))
        return found

    return Scene(shapes=shapes, struck=struck)


def jumping(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """A figure that crouches, jumps and lands."""
    floor, high = random.uniform(0.75, 0.95), random.uniform(0.08, 0.3)
    x, scale = random.uniform(0.4, WIDTH - 0.4), random.uniform(0.5, 0.9)
    pull, rest = GRAVITY * random.uniform(0.8, 1.6), random.uniform(0.05, 0.6)
    body, legs = _paint(random, ground), _paint(random, ground)
    plank = bar(-1, floor + 0.2, WIDTH + 1, floor + 0.2, 0.2, _paint(random, ground))
    jumps, t = [], random.uniform(0.1, 0.8)
    while t < length_s:
        own = high * random.uniform(0.6, 1.0)
        flight = 2 * math.sqrt(2 * own / pull)
        jumps.append((t, flight, own))
        t += flight + 0.25 + random.uniform(0, rest)

    def shapes(t: float) -> list[Shape]:
        up, crouch = 0.0, 0.0
        for begin, flight, own in jumps:
            past = t - begin
            if 0 <= past < flight:
                up = own * (1 - (2 * past / flight - 1) ** 2)
            elif flight <= past < flight + 0.25:
                crouch = 0.06 * math.sin(math.pi * (past - flight) / 0.25)
            elif -0.2 <= past < 0:
                crouch = max(crouch, 0.05 * math.sin(math.pi * (past + 0.2) / 0.2))
        hip = floor - 0.3 * scale - up + crouch
        foot = floor - 0.03 - up
        return [
            plank,
            *(bar(x + s * 0.02, hip, x + s * 0.06, foot, 0.025, legs) for s in (-1, 1)),
            bar(x, hip, x, hip - 0.25 * scale, 0.06 * scale, body),
            disc(x, hip - 0.38 * scale, 0.06 * scale, legs),
        ]

    return Scene(shapes=shapes, struck=[(b + f, x, floor) for b, f, _ in jumps if b + f < length_s])


LEARNED = {
    "colliding": colliding,
    "drumming": drumming,
    "shutting": shutting,
    "pressing": pressing,
    "throwing": throwing,
    "toppling": toppling,
    "popping": popping,
    "jumping": jumping,
}
MET = {"meeting": meeting}
