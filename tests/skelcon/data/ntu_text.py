"""Text files of NTU RGB+D, made for the tests."""

from collections.abc import Sequence

import numpy as np

Body = np.ndarray


"""(25, 3)."""


def bodies_of(name: str, frames: int = 6, bodies: int = 1) -> list[list[Body]]:
    """For each frame its bodies, side by side, in float32 as the sensor has them.

    The first moves most.
    """
    rng = np.random.default_rng(list(name.encode()))
    places = rng.normal((0.1, -0.2, 3.2), (0.1, 0.4, 0.1), (frames, bodies, 25, 3))
    places[..., 0] += 1.5 * np.arange(bodies)[:, None]
    drift = 0.2 / (1 + np.arange(bodies))
    places += np.arange(frames)[:, None, None, None] * drift[:, None, None]
    return [list(frame) for frame in places.astype(np.float32)]


def skeleton_text(frames: Sequence[Sequence[Body]], end: str = "\n", gap: str = " ") -> str:
    """The file as the README of the layouts describes it."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body in bodies:
            head = "72057594037931101 0 1 1 1 1 0 0.02764709 0.05745083 2"
            lines += [head.replace(" ", gap), "25"]
            for x, y, z in body:
                values = [f"{value:.7g}" for value in (x, y, z)]
                values += ["277.419", "191.8218", "1036.233", "519.1677"]
                values += ["-0.2059419", "0.05349901", "0.9692109", "-0.1239193", "2"]
                lines.append(gap.join(values))
    return end.join(lines) + end


def as_written(frames: Sequence[Sequence[Body]]) -> np.ndarray:
    """(M, T, 25, 3) what the digits of :func:`skeleton_text` say, body for body."""
    out = np.zeros((max(map(len, frames)), len(frames), 25, 3))
    for t, bodies in enumerate(frames):
        for m, body in enumerate(bodies):
            out[m, t] = [[float(f"{value:.7g}") for value in joint] for joint in body]
    return out


def plainly_read(text: str) -> np.ndarray:
    """The numbers of a file read line by line; every other reader must give the same."""
    lines = iter(text.split("\n"))
    frames = []
    for _ in range(int(next(lines))):
        bodies = []
        for _ in range(int(next(lines))):
            next(lines)
            joints = [next(lines).split() for _ in range(int(next(lines)))]
            bodies.append([[float(value) for value in joint[:3]] for joint in joints])
        frames.append(bodies)
    out = np.zeros((min(4, max(map(len, frames))), len(frames), 25, 3))
    for t, bodies in enumerate(frames):
        for m, body in enumerate(bodies[:4]):
            out[m, t] = body
    return out
