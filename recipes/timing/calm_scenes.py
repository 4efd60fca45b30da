"""Scenes in which much moves and nothing is struck: people who gesture, cloth that waves, things that are handled and turned.

*Conventions*: those of `scenes.py`.
"""

import math

import numpy as np

from scenes import WIDTH, Scene, Shape, _at, _paint, bar, disc


def eased(
    random: np.random.Generator, length_s: float, *, moves_s: tuple[float, float], rests_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """(times, places in 0 to 1): from place to place as hands move, quickest half way (Flash & Hogan 1985), with rests."""
    t, place = -1.0, random.uniform()
    times, places = [t], [place]
    share = np.linspace(0, 1, 13)[1:]
    while t < length_s:
        takes, goal = random.uniform(*moves_s), random.uniform()
        times += list(t + takes * share)
        places += list(place + (goal - place) * (10 * share**3 - 15 * share**4 + 6 * share**5))
        t, place = t + takes, goal
        if random.random() < 0.5:
            t += random.uniform(0, rests_s)
            times.append(t)
            places.append(place)
    return np.array(times), np.array(places)


def gesturing(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """One or two people who move arms, body and head."""
    people = []
    for _ in range(random.integers(1, 3)):
        moves_s, rests_s = (random.uniform(0.2, 0.5), random.uniform(0.6, 1.5)), random.uniform(0, 1.5)
        joints = [eased(random, length_s, moves_s=moves_s, rests_s=rests_s) for _ in range(7)]
        look = random.uniform(0.3, WIDTH - 0.3), random.uniform(0.5, 0.8), random.uniform(0.4, 1.0)
        people.append((joints, look, _paint(random, ground), _paint(random, ground)))

    def shapes(t: float) -> list[Shape]:
        found = []
        for joints, (x, y, size), coat, skin in people:
            at = [_at(times, places, t) - 0.5 for times, places in joints]
            cx, cy = x + 0.15 * size * at[0], y + 0.04 * size * at[1]
            found += [bar(cx, cy, cx, cy + 0.4 * size, 0.13 * size, coat)]
            found += [disc(cx + 0.06 * size * at[2], cy - 0.27 * size + 0.03 * size * at[3], 0.1 * size, skin)]
            for k, side in enumerate((-1, 1)):
                upper = math.pi / 2 - side * (0.5 + 1.2 * at[4 + k])
                ex, ey = (
                    cx + side * 0.12 * size + 0.2 * size * math.cos(upper) * side,
                    cy + 0.2 * size * math.sin(upper),
                )
                lower = upper - 2.0 * (at[6] if k else at[5])
                hx, hy = ex + 0.2 * size * math.cos(lower) * side, ey + 0.2 * size * math.sin(lower)
                found += [
                    bar(cx + side * 0.12 * size, cy, ex, ey, 0.035 * size, coat),
                    bar(ex, ey, hx, hy, 0.03 * size, skin),
                ]
        return found

    return Scene(shapes=shapes, struck=[])


def waving(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """Cloth, grass or water: rows of things that travelling waves move."""
    n, speed, deep = int(random.integers(8, 24)), random.uniform(1, 8), random.uniform(0.02, 0.15)
    long, thick, paint = random.uniform(0.1, 0.5), random.uniform(0.01, 0.05), _paint(random, ground)
    waves = [(random.uniform(0.5, 3), random.uniform(0, 6), random.uniform(0.5, 1.5)) for _ in range(3)]
    y = random.uniform(0.5, 0.95)

    def shapes(t: float) -> list[Shape]:
        found = []
        for k in range(n):
            x = (k + 0.5) * WIDTH / n
            sway = sum(math.sin(many * x + phase + own * speed * t) for many, phase, own in waves) * deep / 3
            found.append(bar(x, y, x + sway, y - long + 0.3 * sway, thick, paint))
        return found

    return Scene(shapes=shapes, struck=[])


def handling(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """Hands that move things about softly: cooking, sewing, painting, playing with a pet."""
    things = []
    for _ in range(random.integers(1, 5)):
        moves_s, rests_s = (random.uniform(0.15, 0.5), random.uniform(0.5, 1.5)), random.uniform(0, 1.0)
        xs, ys = (eased(random, length_s, moves_s=moves_s, rests_s=rests_s) for _ in "xy")
        reach = random.uniform(0.05, 0.5)
        things.append(
            (
                xs,
                ys,
                random.uniform(0.2, WIDTH - 0.2 - reach),
                random.uniform(0.2, 0.7),
                reach,
                random.uniform(0.02, 0.12),
            )
        )
    paints = [(_paint(random, ground), _paint(random, ground)) for _ in things]

    def shapes(t: float) -> list[Shape]:
        found = []
        for (xs, ys, left, top, reach, size), (thing, hand) in zip(things, paints, strict=True):
            x, y = left + reach * _at(*xs, t), top + reach * _at(*ys, t)
            found += [bar(x, y, x + 0.25, y + 0.7, 0.04, hand), disc(x, y, size, thing)]
        return found

    return Scene(shapes=shapes, struck=[])


def turning(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """Things that turn, start and stop: wheels, pages, a dancer."""
    discs = [
        (random.uniform(0.3, WIDTH - 0.3), random.uniform(0.3, 0.7), random.uniform(0.1, 0.3), random.uniform(1, 12))
        for _ in range(random.integers(1, 3))
    ]
    courses = [eased(random, length_s, moves_s=(0.5, 2.5), rests_s=1.0) for _ in discs]
    wheel, spoke, n = _paint(random, ground), _paint(random, ground), int(random.integers(1, 6))

    def shapes(t: float) -> list[Shape]:
        found = []
        for (x, y, size, far), course in zip(discs, courses, strict=True):
            angle = far * _at(*course, t)
            found.append(disc(x, y, size, wheel))
            for k in range(n):
                own = angle + 2 * math.pi * k / n
                found.append(
                    bar(x, y, x + 0.9 * size * math.cos(own), y + 0.9 * size * math.sin(own), 0.1 * size, spoke)
                )
        return found

    return Scene(shapes=shapes, struck=[])


def talking(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """A face, near: the mouth opens and closes, eyes blink, the head turns a little."""
    x, y, size = random.uniform(0.5, WIDTH - 0.5), random.uniform(0.4, 0.6), random.uniform(0.2, 0.45)
    head = [eased(random, length_s, moves_s=(0.4, 1.5), rests_s=1.0) for _ in range(2)]
    mouth = eased(random, length_s, moves_s=(0.06, 0.2), rests_s=random.uniform(0, 0.8))
    blinks = np.sort(random.uniform(0, length_s, max(int(length_s / 2.5), 1)))
    skin, dark, hair = _paint(random, ground), _paint(random, ground), _paint(random, ground)

    def shapes(t: float) -> list[Shape]:
        cx, cy = x + 0.2 * size * (_at(*head[0], t) - 0.5), y + 0.1 * size * (_at(*head[1], t) - 0.5)
        shut = float(np.abs(blinks - t).min()) < 0.07
        eyes = [
            disc(cx + s * 0.35 * size, cy - 0.2 * size, 0.1 * size, dark, flat=0.15 if shut else 0.6) for s in (-1, 1)
        ]
        lips = disc(cx, cy + 0.45 * size, 0.25 * size, dark, flat=0.1 + 0.5 * _at(*mouth, t))
        return [disc(cx, cy - 0.1 * size, 1.05 * size, hair), disc(cx, cy, size, skin), *eyes, lips]

    return Scene(shapes=shapes, struck=[])


def nodding(random: np.random.Generator, length_s: float, ground: float) -> Scene:
    """Things that go to and fro quickly, and turn softly at both ends: heads, tails, tools in the air."""
    things = []
    for _ in range(random.integers(1, 4)):
        period, reach = random.uniform(0.25, 1.5), random.uniform(0.02, 0.3)
        place = random.uniform(0.3, WIDTH - 0.3), random.uniform(0.2, 0.8)
        wander = eased(random, length_s, moves_s=(0.5, 2.0), rests_s=1.0)
        things.append((period, reach, *place, random.uniform(0, 6.3), random.uniform(0, 6.3), wander))
    looks = [
        (random.uniform(0.02, 0.12), random.uniform(0, 0.4), _paint(random, ground), _paint(random, ground))
        for _ in things
    ]

    def shapes(t: float) -> list[Shape]:
        found = []
        for (period, reach, x, y, phase, angle, wander), (size, far, paint, stem) in zip(things, looks, strict=True):
            gone = reach * math.sin(2 * math.pi * t / period + phase) * (0.3 + 0.7 * _at(*wander, t))
            px, py = x + gone * math.cos(angle), y + gone * math.sin(angle)
            found += [bar(px, py, x, y + far, 0.4 * size, stem), disc(px, py, size, paint)]
        return found

    return Scene(shapes=shapes, struck=[])


CALM_LEARNED = {
    "gesturing": gesturing,
    "waving": waving,
    "handling": handling,
    "turning": turning,
    "talking": talking,
    "nodding": nodding,
}
