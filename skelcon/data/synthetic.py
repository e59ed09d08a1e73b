"""Synthetic skeleton clips: forward kinematics over a table of actions, seen by noisy sensors.

They replace recorded data to try or to test a trainer. Coordinates are metres in front of a depth
sensor, right-handed: x to the right of a performer who faces it, y up, z away from it. Each clip
has a seed of its own, made from its name, so that it does not depend on the other clips.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skelcon.data.dataset import FORMAT_VERSION, ClipInfo, SkeletonDataset
from skelcon.data.importers import cache_directory
from skelcon.data.layouts import KINECT_V2
from skelcon.data.normalise import CENTRED, Normalisation, normalise
from skelcon.data.splits import PROTOCOLS, sides_of
from skelcon.data.writer import DatasetWriter
from skelcon.errors import UserError

GENERATOR_VERSION = 2
"""Raised when the same seed would give other clips than before."""
FRAMES_PER_SECOND, MIN_FRAMES, MAX_FRAMES = 30, 30, 150
# Cameras 1, 2, 3 as NTU numbers them, positive to the performers' left: 1 tests in cross-view.
_CAMERA_DEGREES = (-45.0, 0.0, 45.0)

Array = NDArray[np.float64]
_Keys = Mapping[str, tuple[float, ...]]


class _Action(NamedTuple):
    """An action: its keys, evenly spaced, start and (unless it ``stays``) end at rest.

    ``keys`` are degrees (metres for shifts) on top of the posture; ``swings`` oscillate: amplitude,
    cycles, phase in turns. ``a.`` is the acting ``side`` (or the performer's choice), ``b.`` the
    other, ``ab.`` both, else the trunk. The bodies of a pair are ``apart`` metres apart; the second
    follows ``partner``, or the same keys.
    """

    name: str
    seconds: float
    keys: Mapping[str, tuple[float, ...]]
    swings: Mapping[str, tuple[float, float, float]] = {}
    side: str = ""
    stays: bool = False
    apart: float = 0.0
    partner: Mapping[str, tuple[float, ...]] | None = None


_WAVE = {"a.abduct": (70, 75, 75), "a.twist": (-80, -85, -80), "a.elbow": (85, 85, 85)}
_ACTIONS = (
    _Action("wave right hand", 2.2, _WAVE, {"a.elbow": (24, 3, 0)}, side="right"),
    _Action("wave left hand", 2.2, _WAVE, {"a.elbow": (24, 3, 0)}, side="left"),
    _Action(
        "clap",
        2.0,
        {"ab.flex": (44, 44), "ab.elbow": (75, 75), "ab.twist": (18, 20, 18)},
        {"ab.twist": (20, 4, 0)},
    ),
    _Action(
        "throw",
        1.5,
        {
            "a.abduct": (60, 85, 40, 10),
            "a.twist": (-60, -90, -10, 15),
            "a.flex": (0, 15, 90, 35),
            "a.elbow": (85, 100, 25, 10),
            "spine.yaw": (-15, -22, 20, 8),
            "waist": (0, -5, 15, 8),
        },
    ),
    _Action(
        "punch",
        1.3,
        {
            "a.flex": (30, 85, 45),
            "a.elbow": (110, 8, 80),
            "b.flex": (25, 25, 25),
            "b.elbow": (80, 90, 70),
            "spine.yaw": (-8, 18, 5),
        },
    ),
    _Action("push forwards", 1.6, {"ab.flex": (32, 84, 45), "ab.elbow": (105, 10, 75)}),
    _Action(
        "drink",
        2.3,
        {
            "a.flex": (40, 54, 54, 40),
            "a.elbow": (90, 122, 122, 90),
            "a.twist": (25, 35, 35, 25),
            "head.pitch": (0, -18, -18, 0),
        },
    ),
    _Action(
        "answer phone",
        2.3,
        {
            "a.flex": (22, 30, 30, 25),
            "a.elbow": (105, 140, 140, 105),
            "a.abduct": (18, 34, 34, 20),
            "head.roll": (0, 10, 10, 0),
        },
    ),
    _Action("point", 1.8, {"a.flex": (82, 86, 84), "a.elbow": (30, 8, 8)}),
    _Action("kick", 1.4, {"a.hip": (-22, 62, 20), "a.knee": (65, 15, 30), "waist": (4, -10, -2)}),
    _Action(
        "squat",
        2.0,
        {
            "ab.hip": (45, 85, 45),
            "ab.knee": (55, 105, 55),
            "waist": (14, 24, 14),
            "ab.flex": (35, 65, 35),
        },
    ),
    _Action(
        "sit down",
        1.8,
        {
            "ab.hip": (40, 75, 80, 80),
            "ab.knee": (45, 82, 85, 85),
            "ab.flex": (15, 25, 20, 15),
            "waist": (28, 26, 8, 2),
        },
        stays=True,
    ),
    _Action("bow", 2.0, {"waist": (32, 52, 32), "head.pitch": (14, 20, 14)}),
    _Action(
        "jump",
        1.4,
        {
            "ab.hip": (42, 4, 4, 34),
            "ab.knee": (70, 4, 8, 58),
            "ab.flex": (-25, 70, 60, 15),
            "waist": (20, -2, 0, 14),
            "lift": (0, 0.22, 0.2, 0),
        },
    ),
    _Action(
        "walk in place",
        2.6,
        {"ab.hip": (18, 20, 18), "ab.knee": (28, 30, 28)},
        {
            "a.hip": (22, 3, 0),
            "a.knee": (30, 3, 0),
            "a.flex": (18, 3, 0.5),
            "b.hip": (22, 3, 0.5),
            "b.knee": (30, 3, 0.5),
            "b.flex": (18, 3, 0),
        },
    ),
    _Action(
        "shake hands",
        2.2,
        {"a.flex": (42, 45, 42), "a.elbow": (35, 40, 35)},
        {"a.flex": (7, 4, 0)},
        side="right",
        apart=0.95,
    ),
    _Action(
        "push each other",
        1.6,
        {"ab.flex": (32, 84, 45), "ab.elbow": (100, 15, 75), "waist": (2, 14, 5)},
        apart=0.85,
        partner={"waist": (0, -4, -18), "ab.flex": (0, 10, 35), "forward": (0, -0.1, -0.2)},
    ),
    _Action(
        "hug",
        2.4,
        {
            "ab.flex": (65, 75, 75),
            "ab.swing": (-40, 30, 30),
            "ab.elbow": (20, 55, 55),
            "forward": (0.1, 0.24, 0.24),
        },
        apart=0.8,
    ),
)

CLASS_NAMES = tuple(action.name for action in _ACTIONS)
"""The actions, in the order of their labels."""
PAIR_LABELS = tuple(i for i, action in enumerate(_ACTIONS) if action.apart)
"""Labels of what two bodies perform."""

# Joint, what it hangs on, its offset at rest in metres, its turns from the outermost on: axis (a
# capital: the other way) and channel. ``*`` is the right side; the left one is its mirror image.
_BODY: tuple[tuple[str, str, tuple[float, float, float], str], ...] = (
    ("spine_base", "spine_base", (0, 0, 0), "y:yaw X:waist z:roll"),
    ("spine_mid", "spine_base", (0, 0.28, 0), "y:spine.yaw X:spine.pitch z:spine.roll"),
    ("spine_shoulder", "spine_mid", (0, 0.23, 0), ""),
    ("neck", "spine_shoulder", (0, 0.08, 0), "y:head.yaw X:head.pitch z:head.roll"),
    ("head", "neck", (0, 0.15, -0.02), ""),
    ("*shoulder", "spine_shoulder", (0.17, -0.04, 0), "y:*swing z:*abduct x:*flex y:*twist"),
    ("*elbow", "*shoulder", (0, -0.28, 0), "x:*elbow"),
    ("*wrist", "*elbow", (0, -0.25, 0), "x:*wrist"),
    ("*hand", "*wrist", (0, -0.08, 0), ""),
    ("*hand_tip", "*hand", (0, -0.08, 0), ""),
    ("*thumb", "*hand", (0, -0.03, -0.05), ""),
    # The legs take the waist's turn back: who bends forwards stays on the feet.
    ("*hip", "spine_base", (0.09, -0.03, 0), "z:*splay x:*hip x:waist"),
    ("*knee", "*hip", (0, -0.42, 0), "X:*knee"),
    ("*ankle", "*knee", (0, -0.40, 0), "x:*ankle"),
    ("*foot", "*ankle", (0, -0.06, -0.13), ""),
)
# A channel's mean and standard deviation over performers at rest: degrees (last two: metres).
_REST = {
    "yaw": (0, 0),
    "waist": (0, 4),
    "roll": (0, 2),
    "spine.yaw": (0, 4),
    "spine.pitch": (0, 5),
    "spine.roll": (0, 3),
    "head.yaw": (0, 9),
    "head.pitch": (0, 7),
    "head.roll": (0, 4),
    "*swing": (0, 5),
    "*abduct": (9, 5),
    "*flex": (0, 7),
    "*twist": (12, 10),
    "*elbow": (14, 9),
    "*wrist": (0, 9),
    "*splay": (0, 3),
    "*hip": (4, 3),
    "*knee": (5, 4),
    "*ankle": (0, 3),
    "forward": (0, 0),
    "lift": (0, 0),
}


def _sides(name: str) -> dict[str, float]:
    """``*name`` on both sides, with the sign of x there; a trunk's name as it is."""
    both = {f"right_{name[1:]}": 1.0, f"left_{name[1:]}": -1.0}
    return both if name.startswith("*") else {name: 1.0}


_CHANNELS = {one: i for i, one in enumerate(s for name in _REST for s in _sides(name))}
_MEAN, _SPREAD = np.array([_REST[name] for name in _REST for _ in _sides(name)], np.float64).T
_OFFSETS, _ROWS = np.zeros((KINECT_V2.num_joints, 3)), np.zeros(KINECT_V2.num_joints, np.int64)
_CHAIN: list[tuple[int, int, list[tuple[int, float, int]]]] = []
for _row, (_name, _base, _offset, _turns) in enumerate(_BODY):
    for _joint, _sign in _sides(_name).items():
        _side, _at = _joint.split("_")[0] + "_", KINECT_V2.joints.index(_joint)
        _OFFSETS[_at], _ROWS[_at], _steps = np.array(_offset) * (_sign, 1, 1), _row, []
        for _axis, _channel in (turn.replace("*", _side).split(":") for turn in _turns.split()):
            # A mirror image turns alike about x, and the other way about y and z.
            _way = (1.0 if _axis in "xX" else _sign) * (1.0 if _axis.islower() else -1.0)
            _steps.append(("xyz".index(_axis.lower()), _way, _CHANNELS[_channel]))
        _CHAIN.append((_at, KINECT_V2.joints.index(_base.replace("*", _side)), _steps))
# Joints that a sensor may lose; the trunk, which normalisation aligns by, is always found.
_LIMBS = [at for at, _, _ in _CHAIN if _BODY[_ROWS[at]][1].startswith("*")]


def _rng(seed: int, *key: int) -> Generator:
    return np.random.default_rng(np.random.SeedSequence((seed, *key)))


class Performer(NamedTuple):
    """A body (25, 3), metres from what a joint hangs on, at rest; its habits, mostly factors."""

    offsets: Array
    posture: Array
    tempo: float
    amplitude: float
    restless: float
    left_handed: float


def performer(subject: int, *, seed: int = 0) -> Performer:
    """The performer with the number ``subject`` (0 or more) under ``seed`` (0 or more)."""
    rng = _rng(seed, 1, subject)
    sizes = rng.normal(1.0, 0.06) * rng.normal(1.0, 0.05, len(_BODY))
    return Performer(
        offsets=_OFFSETS * sizes[_ROWS, None],
        posture=_MEAN + 0.8 * _SPREAD * rng.standard_normal(len(_MEAN)),
        tempo=float(np.exp(rng.normal(0.0, 0.16))),
        amplitude=float(np.clip(rng.normal(0.95, 0.1), 0.7, 1.2)),
        restless=float(rng.uniform(0.6, 1.5)),
        left_handed=0.85 if rng.random() < 0.25 else 0.15,
    )


def _between(points: Array, at: Array) -> Array:
    """``points`` (n, ...) at the fractional rows ``at`` (T,), eased from one to the next."""
    low = np.minimum(at.astype(np.int64), len(points) - 2)
    part = (at - low).reshape(-1, *(1,) * (points.ndim - 1))
    out: Array = points[low] + (points[low + 1] - points[low]) * part * part * (3 - 2 * part)
    return out


def _wander(rng: Generator, frames: int, every: int, *shape: int) -> Array:
    """(frames, *shape) smooth noise of about unit variance: random points, ``every`` frames."""
    return _between(rng.standard_normal((frames // every + 2, *shape)), np.arange(frames) / every)


def _move(
    who: Performer,
    action: _Action,
    keys: _Keys,
    side: str,
    when: Array,
    *,
    habit: Generator,
    take: Generator,
) -> Array:
    """Each channel's course, (T, channels) in degrees or metres, fidgeting included.

    ``when`` is 0 to 1 through the action; ``habit`` is the performer's way with it in all takes.
    """
    drift = 0.45 * who.restless * _wander(take, len(when), 24, len(_MEAN))
    out: Array = who.posture + _SPREAD * (drift + take.normal(0.0, 0.6, len(_MEAN)))
    sides = {"a": (side,), "b": ("left" if side == "right" else "right",), "ab": ("right", "left")}
    cycles = float(np.exp(habit.normal(0, 0.12) + take.normal(0, 0.12)))
    phase = habit.normal(0, 0.1) + take.normal(0, 0.15)
    for name in dict.fromkeys([*keys, *action.swings]):
        # Joints do not move in step nor reach alike: each has its own lag and gain.
        at: Array = np.clip(when - habit.normal(0, 0.02) - take.normal(0, 0.02), 0, 1)
        inner = keys.get(name, ())
        points = np.array([0.0, *inner, inner[-1] if action.stays else 0.0])
        swing, turns, start = action.swings.get(name, (0.0, 0.0, 0.0))
        envelope = np.clip(np.minimum(at, 1 - at) * 5, 0, 1)
        course = _between(points, at * (len(points) - 1))
        course += swing * envelope * np.sin(2 * np.pi * (turns * cycles * at + start + phase))
        course *= who.amplitude * habit.normal(1.0, 0.1) * take.normal(1.0, 0.1)
        where, _, channel = name.partition(".")
        for target in [f"{one}_{channel}" for one in sides.get(where, ())] or [name]:
            out[:, _CHANNELS[target]] += course * take.normal(1.0, 0.06)
    # Something that is no part of the action: a scratch, a shrug, a look aside.
    for _ in range(take.poisson(0.8 * who.restless)):
        chosen, far = take.integers(len(_MEAN)), np.arange(len(when)) - take.uniform(0, len(when))
        bump = np.exp(-((far / take.uniform(5, 14)) ** 2))
        out[:, chosen] += _SPREAD[chosen] * take.normal(0, 4.0) * bump
    return out


def _rotation(axis: int, degrees: Array) -> Array:
    """(T, 3, 3) right-handed turns by ``degrees`` (T,) about a coordinate axis."""
    (one, two), angle = ((axis + 1) % 3, (axis + 2) % 3), np.radians(degrees)
    out = np.tile(np.eye(3), (len(angle), 1, 1))
    out[:, one, one] = out[:, two, two] = np.cos(angle)
    out[:, two, one] = np.sin(angle)
    out[:, one, two] = -out[:, two, one]
    return out


def _pose(who: Performer, course: Array, yaw: float, ahead: float = 0.0) -> Array:
    """Forward kinematics: (T, 25, 3) metres on the floor; a ``yaw`` of 0 degrees looks along -z."""
    course[:, _CHANNELS["yaw"]] = yaw
    out = np.zeros((len(course), KINECT_V2.num_joints, 3))
    turned = {0: np.eye(3)}  # the spine base, where the chain starts
    for at, parent, turns in _CHAIN:
        frame = turned[parent]
        out[:, at] = out[:, parent] + frame @ who.offsets[at]
        for axis, way, channel in turns:
            frame = frame @ _rotation(axis, way * course[:, channel])
        turned[at] = frame
    out[..., 1] += (course[:, _CHANNELS["lift"]] - out[..., 1].min(axis=1))[:, None]
    heading = -_rotation(1, np.array([yaw]))[0, :, 2]
    return out + (course[:, _CHANNELS["forward"]] + ahead)[:, None, None] * heading


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
    action = _ACTIONS[take.action - 1]
    ways = [_rng(seed, 2, take.action, take.subject, body) for body in (0, 1)]
    rng = _rng(seed, 3, take.action, take.subject, take.repetition, take.camera, take.setup)
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
    course = _move(who, action, action.keys, side, when, habit=ways[0], take=rng)
    bodies = [_pose(who, course, yaw, -half)]
    if action.apart:
        # The partner is not one of the subjects: who trains must not appear in a test clip.
        other, keys = performer(1000 + take.subject, seed=seed), action.partner or action.keys
        late = np.clip(when - rng.uniform(0, 0.05), 0, 1)
        course = _move(other, action, keys, side, late, habit=ways[1], take=rng)
        bodies.append(_pose(other, course, yaw + 180 + rng.normal(0, 8), -half))
        if rng.random() < 0.3:  # a tracker numbers bodies as it finds them
            bodies.reverse()
    place = _rng(seed, 4, take.setup)  # the setup's cameras look at a point 1 m above the floor
    height, distance = place.uniform(0.9, 2.3), place.uniform(2.4, 3.6)
    turn = _rotation(1, np.array([-_CAMERA_DEGREES[take.camera - 1]]))[0]
    tilt = _rotation(0, np.degrees(np.arctan2([1.0 - height], distance)))[0]
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
        out[body] += _wander(rng, frames, 7, joints, 3) * (0.010 + 0.035 * hidden)
        for _ in range(rng.poisson(1.5)):
            joint, start, count = rng.choice(_LIMBS), rng.integers(1, frames), rng.integers(2, 14)
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
    rounds = list(product(*(range(1, n + 1) for n in (*counts.values(), len(_ACTIONS)))))
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
    with contextlib.suppress(UserError):  # the writer replaces what is damaged
        dataset = SkeletonDataset.open(cached)
        if dataset.content_digest() == dataset.fingerprint:
            return dataset
    try:
        return synthesize(cached, seed=seed)
    except OSError as error:
        raise UserError(
            f"cannot write the cache of synthetic data in '{cache_directory()}' "
            f"({error.strerror}): set SKELCON_CACHE to a directory that can be written"
        ) from None
