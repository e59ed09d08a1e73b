"""Synthetic skeleton clips: forward kinematics over a table of actions, seen by noisy sensors.

They replace recorded data to try or to test a trainer. Coordinates are metres in front of a depth
sensor, right-handed: x to the right of a performer who faces it, y up, z away from it. Each clip
has a seed of its own, made from its name, so that it does not depend on the other clips.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from skelcon.data.dataset import FORMAT_VERSION, ClipInfo, SkeletonDataset
from skelcon.data.importers import cache_directory
from skelcon.data.importers.pipeline import staging
from skelcon.data.layouts import KINECT_V2
from skelcon.data.normalise import CENTRED, Normalisation, normalise
from skelcon.data.splits import PROTOCOLS, sides_of
from skelcon.data.synthetic_actions import ACTIONS
from skelcon.data.synthetic_performer import (
    LIMBS,
    Array,
    generator_of,
    move,
    performer,
    pose,
    rotation,
    wander,
)
from skelcon.data.writer import DatasetWriter
from skelcon.errors import UserError

GENERATOR_VERSION = 2
"""Increased when the same seed would give other clips than before."""
FRAMES_PER_SECOND, MIN_FRAMES, MAX_FRAMES = 30, 30, 150
# Cameras 1, 2, 3 as NTU numbers them, positive to the performers' left: 1 tests in cross-view.
_CAMERA_DEGREES = (-45.0, 0.0, 45.0)

CLASS_NAMES = tuple(action.name for action in ACTIONS)
"""The actions, in the order of their labels."""


class Take(NamedTuple):
    """One recording; every number counts from 1, ``camera`` up to 3."""

    setup: int
    camera: int
    subject: int
    repetition: int
    action: int

    @property
    def info(self) -> ClipInfo:
        """The clip's row in a data set, its name as NTU spells it."""
        name = "".join(f"{key}{value:03d}" for key, value in zip("SCPRA", self, strict=True))
        return ClipInfo(name, self.action - 1, self.subject, self.camera, self.setup)


def render(take: Take, *, seed: int = 0, noise: bool = True) -> Array:
    """What the sensor saw: (M, T, 25, 3) float64 metres in its frame, not normalised.

    Each camera sees another performance, so that recognising a recording from another side does
    not help to recognise an action. Without ``noise`` all bones keep their lengths.
    """
    action = ACTIONS[take.action - 1]
    ways = [generator_of(seed, 2, take.action, take.subject, body) for body in (0, 1)]
    rng = generator_of(seed, 3, take.action, take.subject, take.repetition, take.camera, take.setup)
    who = performer(take.subject, seed=seed)
    side = action.side or ("left" if rng.random() < who.left_handed else "right")
    tempo = who.tempo * float(np.exp(rng.normal(0, 0.12)))
    busy = min(action.seconds * FRAMES_PER_SECOND * tempo, MAX_FRAMES - 20)
    before, after = rng.gamma(1.2, 22.0, 2)
    spare = min(1.0, (MAX_FRAMES - busy) / (before + after))
    frames = max(MIN_FRAMES, int(busy + (before + after) * spare))
    when = np.clip((np.arange(frames) - before * spare) / busy, 0, 1)
    when = when ** float(np.exp(rng.normal(0, 0.15)))
    half = action.apart * rng.normal(0.5, 0.03)
    # The middle camera sees pairs from the side.
    yaw = rng.normal(0, 14) + (90 * rng.choice((-1, 1)) if action.apart else 0)
    course = move(who, action, action.keys, side, when, habit=ways[0], take=rng)
    bodies = [pose(who, course, yaw, -half)]
    if action.apart:
        # The partner is not one of the subjects: a training subject must not appear in a test clip.
        other, keys = performer(1000 + take.subject, seed=seed), action.partner or action.keys
        late = np.clip(when - rng.uniform(0, 0.05), 0, 1)
        course = move(other, action, keys, side, late, habit=ways[1], take=rng)
        bodies.append(pose(other, course, yaw + 180 + rng.normal(0, 8), -half))
        if rng.random() < 0.3:  # a tracker numbers bodies as it finds them
            bodies.reverse()
    place = generator_of(
        seed, 4, take.setup
    )  # the setup's cameras look at a point 1 m above the floor
    height, distance = place.uniform(0.9, 2.3), place.uniform(2.4, 3.6)
    turn = rotation(1, np.array([-_CAMERA_DEGREES[take.camera - 1]]))[0]
    tilt = rotation(0, np.degrees(np.arctan2([1.0 - height], distance)))[0]
    room = np.stack(bodies) + rng.normal(0, 0.15, 3) * (1, 0, 1)
    seen: Array = (room @ turn.T - (0.0, height, -distance)) @ tilt.T
    return _sensed(seen, rng) if noise else seen


def _sensed(clip: Array, rng: Generator) -> Array:
    """The clip with a sensor's errors: noise, drift of what is hidden, and lost joints."""
    out, (bodies, frames, joints, _) = clip.copy(), clip.shape
    for body in range(bodies):
        depth = clip[body, ..., 2:]
        # A joint 10 cm or more behind the trunk is guessed by the sensor: it wanders off, slowly.
        hidden = 1 / (1 + np.exp((depth[:, KINECT_V2.at_origin] - depth + 0.1) / 0.05))
        out[body] += rng.standard_normal((frames, joints, 3)) * 0.007 * (depth / 3) ** 2
        out[body] += wander(rng, frames, 7, joints, 3) * (0.010 + 0.035 * hidden)
        for _ in range(rng.poisson(1.5)):
            joint, start, count = rng.choice(LIMBS), rng.integers(1, frames), rng.integers(2, 14)
            kind, lost = rng.random(), out[body, start : start + count, joint]
            if kind < 0.7:
                lost[:] = 0.0 if kind < 0.2 else out[body, start - 1, joint]
            else:
                lost += rng.normal(0, 0.15, 3)
    if rng.random() < 0.03:
        start = rng.integers(5, frames - 9)
        out[-1, start : start + rng.integers(1, 5)] = 0.0
    return out


def synthesize(
    path: Path,
    *,
    subjects: int = 8,
    repetitions: int = 2,
    cameras: int = 3,
    setups: int = 2,
    seed: int = 0,
    normalisation: Normalisation | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SkeletonDataset:
    """Generate a packed data set: every action by every subject before every camera.

    A subject changes the setup with each repetition. Protocols are NTU's: odd subjects, cameras
    2 and 3, and even setups train; one is left out where a side of it would be empty. The same
    ``seed`` gives the same fingerprint. ``path`` is replaced at the end if it exists; ``progress``
    is called with the numbers of clips done and in all.

    Raises:
        UserError: if a number is out of range.
    """
    counts = {"subjects": subjects, "repetitions": repetitions, "cameras": cameras}
    for what, number in (*counts.items(), ("setups", setups)):
        most = len(_CAMERA_DEGREES) if what == "cameras" else 999
        if not 1 <= number <= most:
            raise UserError(f"synthetic data: {what} is {number}, valid: 1 to {most}")
    if seed < 0:
        raise UserError(f"synthetic data: seed is {seed}, valid: 0 or more")
    options = normalisation or CENTRED
    rounds = list(product(*(range(1, n + 1) for n in (*counts.values(), len(ACTIONS)))))
    with DatasetWriter(
        path,
        name="synthetic",
        layout=KINECT_V2,
        class_names=CLASS_NAMES,
        family="synthetic",
        normalisation=options,
        synthetic=True,
    ) as writer:
        for done, (subject, repetition, camera, action) in enumerate(rounds):
            setup = 1 + ((subject - 1) // 2 + repetition - 1) % setups
            take = Take(setup, camera, subject, repetition, action)
            writer.add(take.info, normalise(render(take, seed=seed), KINECT_V2, options))
            if progress is not None:
                progress(done + 1, len(rounds))
        columns = np.array([(info.subject, info.camera, info.setup) for info in writer.infos]).T
        trains = (columns[0] % 2 == 1, columns[1] != 1, columns[2] % 2 == 0)
        rows = {name: sides_of(who) for name, who in zip(PROTOCOLS, trains, strict=True)}
        return writer.close({name: row for name, row in rows.items() if len(np.unique(row)) > 1})


def open_embedded(seed: int = 0) -> SkeletonDataset:
    """The data set of default size; made on first use, or if damaged, in the cache.

    Args:
        seed: another one gives other subjects and clips of the same actions.

    Raises:
        UserError: if the cache directory cannot be written.
    """
    name = f"synthetic-{GENERATOR_VERSION}-{FORMAT_VERSION}" + (f"-{seed}" if seed else "")
    cached = cache_directory() / name

    def made() -> SkeletonDataset | None:
        with contextlib.suppress(UserError):  # the writer replaces what is damaged
            dataset = SkeletonDataset.open(cached)
            if dataset.content_digest() == dataset.fingerprint:
                return dataset
        return None

    if (existing := made()) is not None:
        return existing
    try:
        # Another command may be making it, and then workers may be reading it.
        with staging(cached.with_name(f".{name}.importing"), name):
            return made() or synthesize(cached, seed=seed)
    except OSError as error:
        raise UserError(
            f"cannot write the cache of synthetic data in '{cache_directory()}' "
            f"({error.strerror}): set SKELCON_CACHE to a directory that can be written"
        ) from None
