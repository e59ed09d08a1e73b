"""Who performs the actions of synthetic clips: bodies, habits, and forward kinematics over both."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skelcon.data.layouts import KINECT_V2
from skelcon.data.synthetic_actions import Action, Keys

Array = NDArray[np.float64]

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
LIMBS = [at for at, _, _ in _CHAIN if _BODY[_ROWS[at]][1].startswith("*")]


def generator_of(seed: int, *key: int) -> Generator:
    """One of its own for each ``key``."""
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
    rng = generator_of(seed, 1, subject)
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


def wander(rng: Generator, frames: int, every: int, *shape: int) -> Array:
    """(frames, *shape) smooth noise of about unit variance: random points, ``every`` frames."""
    return _between(rng.standard_normal((frames // every + 2, *shape)), np.arange(frames) / every)


def move(
    who: Performer,
    action: Action,
    keys: Keys,
    side: str,
    when: Array,
    *,
    habit: Generator,
    take: Generator,
) -> Array:
    """Each channel's course, (T, channels) in degrees or metres, fidgeting included.

    ``when`` is 0 to 1 through the action; ``habit`` is the performer's way with it in all takes.
    """
    drift = 0.45 * who.restless * wander(take, len(when), 24, len(_MEAN))
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


def rotation(axis: int, degrees: Array) -> Array:
    """(T, 3, 3) right-handed turns by ``degrees`` (T,) about a coordinate axis."""
    (one, two), angle = ((axis + 1) % 3, (axis + 2) % 3), np.radians(degrees)
    out = np.tile(np.eye(3), (len(angle), 1, 1))
    out[:, one, one] = out[:, two, two] = np.cos(angle)
    out[:, two, one] = np.sin(angle)
    out[:, one, two] = -out[:, two, one]
    return out


def pose(who: Performer, course: Array, yaw: float, ahead: float = 0.0) -> Array:
    """Forward kinematics: (T, 25, 3) metres on the floor; a ``yaw`` of 0 degrees looks along -z."""
    course[:, _CHANNELS["yaw"]] = yaw
    out = np.zeros((len(course), KINECT_V2.num_joints, 3))
    turned = {0: np.eye(3)}  # the spine base, where the chain starts
    for at, parent, turns in _CHAIN:
        frame = turned[parent]
        out[:, at] = out[:, parent] + frame @ who.offsets[at]
        for axis, way, channel in turns:
            frame = frame @ rotation(axis, way * course[:, channel])
        turned[at] = frame
    out[..., 1] += (course[:, _CHANNELS["lift"]] - out[..., 1].min(axis=1))[:, None]
    heading = -rotation(1, np.array([yaw]))[0, :, 2]
    return out + (course[:, _CHANNELS["forward"]] + ahead)[:, None, None] * heading
