"""Synthetic skeleton clips: forward kinematics over a table of actions, seen by noisy sensors.

A stand-in for recorded data to try and to test a trainer on. Coordinates are metres in the
frame of a depth sensor, right-handed: x to the right of a performer who faces the sensor, y up,
z away from the sensor. Every clip is drawn from its own seed, made of what its name tells, so it
is the same whatever else is generated beside it.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import FORMAT_VERSION, ClipInfo, DatasetWriter, SkeletonDataset
from skelcon.data.importers import cache_directory
from skelcon.data.layouts import KINECT_V2
from skelcon.data.normalise import Normalisation, normalise
from skelcon.data.splits import TEST, TRAIN, sides_of
from skelcon.errors import UserError

GENERATOR_VERSION = 1
"""Raised when the same seed would give other clips than before."""
FRAMES_PER_SECOND = 30
MIN_FRAMES, MAX_FRAMES = 30, 150

Array = NDArray[np.float64]
Angles = dict[str, Array]

_CAMERA_DEGREES = (-45.0, 0.0, 45.0)
"""Cameras 1, 2 and 3, as NTU numbers them: 2 is in front and trains cross-view together with 3;
1 tests. A positive angle is a camera to the performers' left."""


@dataclass(frozen=True)
class _Track:
    """What one joint angle does in an action: keys evenly spaced in time, and an oscillation.

    Keys and ``swing`` (the oscillation's amplitude) are degrees added to the posture, metres
    where the channel is a shift; ``cycles`` and ``phase`` are turns.
    """

    keys: tuple[float, ...]
    swing: float = 0.0
    cycles: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True)
class _Action:
    """An action as data: seconds it takes, its tracks, and those of the second body if any.

    ``a.`` is the acting side, ``b.`` the other, ``ab.`` both, anything else the trunk.
    ``side`` fixes the acting side; ``""`` leaves it to the performer's handedness.
    """

    name: str
    seconds: float
    tracks: Mapping[str, _Track]
    partner: Mapping[str, _Track] | None = None
    side: str = ""
    distance: float = 0.0


def _k(*keys: float, osc: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> _Track:
    return _Track(keys, *osc)


_WAVE = {
    "a.abduct": _k(0, 70, 75, 75, 0),
    "a.twist": _k(0, -80, -85, -80, 0),
    "a.elbow": _k(0, 85, 85, 85, 0, osc=(24, 3, 0)),
}
_SHAKE = {"a.flex": _k(0, 42, 45, 42, 0, osc=(7, 4, 0)), "a.elbow": _k(0, 35, 40, 35, 0),
          "waist": _k(0, 6, 8, 6, 0)}  # fmt: skip
_FIVE = {"a.flex": _k(0, 80, 125, 60, 0), "a.elbow": _k(0, 75, 45, 40, 0)}
_HUG = {
    "ab.flex": _k(0, 65, 75, 75, 0), "ab.swing": _k(0, -40, 30, 30, 0),
    "ab.elbow": _k(0, 20, 55, 55, 0), "waist": _k(0, 4, 10, 10, 0),
    "forward": _k(0, 0.1, 0.24, 0.24, 0),
}  # fmt: skip

_ACTIONS = (
    _Action("wave right hand", 2.2, _WAVE, side="right"),
    _Action("wave left hand", 2.2, _WAVE, side="left"),
    _Action("clap", 2.0, {
        "ab.flex": _k(0, 42, 45, 42, 0), "ab.elbow": _k(0, 75, 75, 75, 0),
        "ab.twist": _k(0, 18, 20, 18, 0, osc=(20, 4, 0))}),
    _Action("throw", 1.5, {
        "a.abduct": _k(0, 60, 85, 40, 10, 0), "a.twist": _k(0, -60, -90, -10, 15, 0),
        "a.elbow": _k(0, 85, 100, 25, 10, 0), "a.flex": _k(0, 0, 15, 90, 35, 0),
        "spine.yaw": _k(0, -15, -22, 20, 8, 0), "waist": _k(0, 0, -5, 15, 8, 0)}),
    _Action("punch", 1.3, {
        "a.flex": _k(0, 30, 85, 45, 0), "a.elbow": _k(0, 110, 8, 80, 0),
        "b.flex": _k(0, 25, 25, 25, 0), "b.elbow": _k(0, 80, 90, 70, 0),
        "spine.yaw": _k(0, -8, 18, 5, 0)}),
    _Action("push forwards", 1.6, {
        "ab.flex": _k(0, 32, 84, 45, 0), "ab.elbow": _k(0, 105, 10, 75, 0),
        "waist": _k(0, 2, 12, 5, 0)}),
    _Action("drink", 2.3, {
        "a.flex": _k(0, 40, 52, 50, 40, 0), "a.elbow": _k(0, 95, 128, 128, 95, 0),
        "a.twist": _k(0, 20, 30, 30, 20, 0), "head.pitch": _k(0, 0, -14, -14, 0, 0)}),
    _Action("answer phone", 2.3, {
        "a.flex": _k(0, 25, 36, 36, 30, 0), "a.elbow": _k(0, 105, 140, 140, 105, 0),
        "a.abduct": _k(0, 14, 28, 28, 18, 0), "head.roll": _k(0, 0, 8, 8, 0, 0)}),
    _Action("point", 1.8, {
        "a.flex": _k(0, 82, 86, 84, 0), "a.elbow": _k(0, 30, 8, 8, 0)}),
    _Action("kick", 1.4, {
        "a.hip": _k(0, -22, 62, 20, 0), "a.knee": _k(0, 65, 15, 30, 0),
        "ab.abduct": _k(0, 18, 25, 15, 0), "waist": _k(0, 4, -10, -2, 0)}),
    _Action("squat", 2.0, {
        "ab.hip": _k(0, 45, 85, 45, 0), "ab.knee": _k(0, 55, 105, 55, 0),
        "ab.flex": _k(0, 35, 65, 35, 0), "waist": _k(0, 14, 24, 14, 0)}),
    _Action("sit down", 1.8, {
        "ab.hip": _k(0, 40, 75, 80, 80), "ab.knee": _k(0, 45, 82, 85, 85),
        "ab.flex": _k(0, 15, 25, 20, 15), "waist": _k(0, 28, 26, 8, 2)}),
    _Action("bow", 2.0, {
        "waist": _k(0, 32, 52, 32, 0), "head.pitch": _k(0, 14, 20, 14, 0)}),
    _Action("jump", 1.4, {
        "ab.hip": _k(0, 42, 4, 4, 34, 0), "ab.knee": _k(0, 70, 4, 8, 58, 0),
        "ab.flex": _k(0, -25, 70, 60, 15, 0), "waist": _k(0, 20, -2, 0, 14, 0),
        "lift": _k(0, 0, 0.22, 0.2, 0, 0)}),
    _Action("walk in place", 2.6, {
        "a.hip": _k(0, 18, 20, 18, 0, osc=(22, 3, 0)), "b.hip": _k(0, 18, 20, 18, 0, osc=(22, 3, .5)),
        "a.knee": _k(0, 28, 30, 28, 0, osc=(30, 3, 0)), "b.knee": _k(0, 28, 30, 28, 0, osc=(30, 3, .5)),
        "a.flex": _k(0, 5, 5, 0, osc=(18, 3, .5)), "b.flex": _k(0, 5, 5, 0, osc=(18, 3, 0))}),
    _Action("arm circles", 2.4, {
        "ab.abduct": _k(0, 80, 85, 80, 0, osc=(18, 3, 0)), "ab.swing": _k(0, 0, osc=(20, 3, .25))}),
    _Action("stretch", 2.6, {
        "ab.abduct": _k(0, 85, 155, 155, 85, 0), "ab.elbow": _k(0, 40, 25, 20, 35, 0),
        "waist": _k(0, 0, -9, -9, 0, 0)}),
    _Action("shake hands", 2.2, _SHAKE, _SHAKE, distance=0.95),
    _Action("high five", 1.5, _FIVE, _FIVE, distance=0.95),
    _Action("push each other", 1.6, {
        "ab.flex": _k(0, 32, 84, 45, 0), "ab.elbow": _k(0, 100, 15, 75, 0),
        "waist": _k(0, 2, 14, 5, 0)}, {
        "waist": _k(0, 0, -4, -18, 0), "ab.flex": _k(0, 0, 10, 35, 0),
        "forward": _k(0, 0, 0, -0.22, -0.22)}, distance=0.85),
    _Action("hug", 2.4, _HUG, _HUG, distance=0.8),
)  # fmt: skip

CLASS_NAMES = tuple(action.name for action in _ACTIONS)
"""The actions, in the order of their labels."""
PAIR_LABELS = tuple(i for i, action in enumerate(_ACTIONS) if action.partner is not None)
"""Labels of the actions that two bodies perform."""

_SEGMENTS: tuple[tuple[str, str, tuple[float, float, float], str], ...] = (
    ("spine_mid", "spine_base", (0, 0.28, 0), "trunk"),
    ("spine_shoulder", "spine_mid", (0, 0.23, 0), "trunk"),
    ("neck", "spine_shoulder", (0, 0.08, 0), "trunk"),
    ("head", "neck", (0, 0.15, -0.02), "head"),
    ("*shoulder", "spine_shoulder", (0.17, -0.04, 0), "breadth"),
    ("*elbow", "*shoulder", (0, -0.28, 0), "upper arm"),
    ("*wrist", "*elbow", (0, -0.25, 0), "forearm"),
    ("*hand", "*wrist", (0, -0.08, 0), "hand"),
    ("*hand_tip", "*hand", (0, -0.08, 0), "hand"),
    ("*thumb", "*hand", (0, -0.03, -0.05), "hand"),
    ("*hip", "spine_base", (0.09, -0.03, 0), "breadth"),
    ("*knee", "*hip", (0, -0.42, 0), "thigh"),
    ("*ankle", "*knee", (0, -0.40, 0), "shank"),
    ("*foot", "*ankle", (0, -0.06, -0.13), "foot"),
)
"""Joint, what it hangs on, its offset at rest (metres; ``*`` on the right side), size group."""

_TURNS: Mapping[str, tuple[tuple[int, float, str], ...]] = {
    "spine_base": ((1, 1, "yaw"), (0, -1, "waist"), (2, 1, "roll")),
    "spine_mid": ((1, 1, "spine.yaw"), (0, -1, "spine.pitch"), (2, 1, "spine.roll")),
    "neck": ((1, 1, "head.yaw"), (0, -1, "head.pitch"), (2, 1, "head.roll")),
    "*shoulder": ((1, 1, "*swing"), (2, 1, "*abduct"), (0, 1, "*flex"), (1, 1, "*twist")),
    "*elbow": ((0, 1, "*elbow"),),
    "*wrist": ((0, 1, "*wrist"),),
    # The legs take the waist's turn back: bending forwards leaves the feet where they are.
    "*hip": ((2, 1, "*splay"), (0, 1, "*hip"), (0, 1, "waist")),
    "*knee": ((0, -1, "*knee"),),
    "*ankle": ((0, 1, "*ankle"),),
}
"""Turns about x (0), y (1) and z (2) at a joint, outermost first: axis, sign, channel. On the
left side those about y and z change sign, so one table holds for both sides."""

_POSTURE = {"waist": 4, "roll": 2, "spine.yaw": 4, "spine.pitch": 5, "spine.roll": 3, "head.yaw": 9,
            "head.pitch": 7, "head.roll": 4, "*swing": 5, "*abduct": 5, "*flex": 7, "*twist": 10,
            "*elbow": 9, "*wrist": 9, "*splay": 3, "*hip": 3, "*knee": 4, "*ankle": 3}  # fmt: skip
"""Standard deviation, in degrees, of what performers differ by in a channel at rest."""
_REST = {"*abduct": 9, "*elbow": 14, "*twist": 12, "*knee": 5, "*hip": 4}
_LIMB_ENDS = tuple(
    v for v, joint in enumerate(KINECT_V2.joints)
    if joint.startswith(("left", "right")) and not joint.endswith(("shoulder", "hip"))
)  # fmt: skip
"""Joints that a sensor may lose; the trunk, which normalisation aligns by, is always found."""


def _sides(name: str) -> tuple[tuple[str, float], ...]:
    """``*name`` on both sides with the sign of its x offset; a trunk's name as it is."""
    if not name.startswith("*"):
        return ((name, 1.0),)
    return ((f"right_{name[1:]}", 1.0), (f"left_{name[1:]}", -1.0))


def _hung(parent: str, joint: str) -> str:
    """The ``parent`` on the side of ``joint``."""
    return parent.replace("*", joint.split("_")[0] + "_")


_CHANNELS = {side: (name, spread) for name, spread in _POSTURE.items() for side, _ in _sides(name)}


def _rng(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence((seed, *key)))


@dataclass(frozen=True)
class Performer:
    """A body and its habits, drawn from (seed, subject).

    Attributes:
        offsets: (25, 3) each joint from what it hangs on, at rest, in metres.
        posture: degrees added to every channel all the time.
        tempo: a factor on how long actions take.
        amplitude: a factor on how far they reach.
        left_handed: how probable the left is as acting side, 0 to 1.
        restless: a factor on fidgeting.
    """

    offsets: Array
    posture: Mapping[str, float]
    tempo: float
    amplitude: float
    left_handed: float
    restless: float


def performer(subject: int, *, seed: int = 0) -> Performer:
    """The performer that ``subject`` (0 or more) stands for under ``seed``."""
    rng = _rng(seed, 1, subject)
    height = rng.normal(1.0, 0.06)
    groups = dict.fromkeys(group for *_, group in _SEGMENTS)
    sizes = {group: height * rng.normal(1.0, 0.05) for group in groups}
    offsets = np.zeros((KINECT_V2.num_joints, 3))
    for name, _, offset, group in _SEGMENTS:
        for joint, sign in _sides(name):
            at = KINECT_V2.joints.index(joint)
            offsets[at] = np.array(offset) * (sign, 1, 1) * sizes[group]
    posture = {
        channel: _REST.get(name, 0.0) + rng.normal(0.0, spread)
        for channel, (name, spread) in _CHANNELS.items()
    }
    return Performer(
        offsets=offsets,
        posture=posture,
        tempo=float(np.exp(rng.normal(0.0, 0.16))),
        amplitude=float(np.clip(rng.normal(0.95, 0.12), 0.7, 1.25)),
        left_handed=0.85 if rng.random() < 0.25 else 0.15,
        restless=float(rng.uniform(0.6, 1.5)),
    )


def _wander(rng: np.random.Generator, frames: int, every: int, shape: tuple[int, ...]) -> Array:
    """(frames, \\*shape) smooth noise of about unit variance: random points, ``every`` frames."""
    points = rng.standard_normal((frames // every + 2, *shape))
    at = np.arange(frames) / every
    low = at.astype(np.int64)
    part = (at - low).reshape(-1, *(1,) * len(shape))
    blend = part * part * (3 - 2 * part)
    return points[low] * (1 - blend) + points[low + 1] * blend


def _follow(track: _Track, when: Array, gain: float, cycles: float, phase: float) -> Array:
    """A track's values at ``when`` (0 to 1 through the action), in the table's units."""
    keys = np.array(track.keys)
    at = np.clip(when, 0, 1) * (len(keys) - 1)
    low = np.minimum(at.astype(np.int64), len(keys) - 2)
    part = at - low
    blend = part * part * (3 - 2 * part)
    out = keys[low] * (1 - blend) + keys[low + 1] * blend
    if track.swing:
        envelope = np.clip(np.minimum(when, 1 - when) * 5, 0, 1)
        turns = track.cycles * cycles * when + track.phase + phase
        out = out + track.swing * envelope * np.sin(2 * np.pi * turns)
    return out * gain


def _move(
    who: Performer,
    tracks: Mapping[str, _Track],
    side: str,
    when: Array,
    habit: np.random.Generator,
    take: np.random.Generator,
) -> Angles:
    """Each channel's course in radians (metres for shifts), (T,) each, fidgeting included.

    ``habit`` is the performer's way with this action, the same in all takes of it.
    """
    frames = len(when)
    drift = _wander(take, frames, 24, (len(_CHANNELS),)) * who.restless * 0.45
    shift = take.normal(0.0, 0.6, len(_CHANNELS))
    out = {}
    for i, (channel, (_, spread)) in enumerate(_CHANNELS.items()):
        out[channel] = who.posture[channel] + spread * (drift[:, i] + shift[i])
    out["forward"], out["lift"] = np.zeros(frames), np.zeros(frames)
    other = "left" if side == "right" else "right"
    cycles = float(np.exp(habit.normal(0, 0.12) + take.normal(0, 0.12)))
    phase = habit.normal(0, 0.1) + take.normal(0, 0.15)
    for name, track in tracks.items():
        gain = who.amplitude * habit.normal(1.0, 0.13) * take.normal(1.0, 0.1)
        # Joints do not move in step: each lags a little, in its own way.
        lag = habit.normal(0, 0.02) + take.normal(0, 0.02)
        course = _follow(track, when - lag, gain, cycles, phase)
        where, _, channel = name.rpartition(".")
        chosen = {"a": (side,), "b": (other,), "ab": ("right", "left")}.get(where)
        for target in [f"{one}_{channel}" for one in chosen] if chosen else [name]:
            uneven = take.normal(1.0, 0.06)
            out[target] = out[target] + course * uneven
    # Something that is no part of the action: a scratch, a shrug, a look aside.
    for _ in range(take.poisson(0.8 * who.restless)):
        channel = list(_CHANNELS)[take.integers(len(_CHANNELS))]
        centre, width = take.uniform(0, frames), take.uniform(5, 14)
        bump = np.exp(-(((np.arange(frames) - centre) / width) ** 2))
        out[channel] = out[channel] + _CHANNELS[channel][1] * take.normal(0, 4.0) * bump
    return {
        channel: values if channel in ("forward", "lift") else np.radians(values)
        for channel, values in out.items()
    }


def _rotation(axis: int, angle: Array) -> Array:
    """(T, 3, 3) right-handed turns by ``angle`` (T,) radians about a coordinate axis."""
    out = np.zeros((len(angle), 3, 3))
    one, two = (axis + 1) % 3, (axis + 2) % 3
    out[:, axis, axis] = 1
    out[:, one, one] = out[:, two, two] = np.cos(angle)
    out[:, two, one] = np.sin(angle)
    out[:, one, two] = -out[:, two, one]
    return out


def _pose(who: Performer, angles: Angles, yaw: float) -> Array:
    """Forward kinematics: (T, 25, 3) metres, on the floor at the origin, facing ``yaw`` (0: -z)."""
    frames = len(angles["forward"])
    angles = {**angles, "yaw": np.full(frames, yaw)}
    out = np.zeros((frames, KINECT_V2.num_joints, 3))
    turned = {}

    def turn(joint: str, base: str, sign: float, frame: Array | None) -> None:
        for axis, direction, channel in _TURNS.get(base, ()):
            # The mirror image (x to -x) of a turn about x is itself, of one about y or z its inverse.
            mirrored = direction if axis == 0 else direction * sign
            step = _rotation(axis, mirrored * angles[_hung(channel, joint)])
            frame = step if frame is None else frame @ step
        assert frame is not None
        turned[joint] = frame

    turn("spine_base", "spine_base", 1.0, None)
    for name, hangs_on, _, _ in _SEGMENTS:
        for joint, sign in _sides(name):
            parent, at = _hung(hangs_on, joint), KINECT_V2.joints.index(joint)
            out[:, at] = out[:, KINECT_V2.joints.index(parent)] + turned[parent] @ who.offsets[at]
            turn(joint, name, sign, turned[parent])
    out[..., 1] += (angles["lift"] - out[..., 1].min(axis=1))[:, None]
    heading = np.array([-np.sin(yaw), 0.0, -np.cos(yaw)])
    out += angles["forward"][:, None, None] * heading
    return out


@dataclass(frozen=True)
class Take:
    """One recording; every number counts from 1, ``camera`` up to 3."""

    setup: int
    camera: int
    subject: int
    repetition: int
    action: int

    @property
    def info(self) -> ClipInfo:
        """The clip's row in a data set, its name as NTU spells it."""
        name = (
            f"S{self.setup:03d}C{self.camera:03d}P{self.subject:03d}"
            f"R{self.repetition:03d}A{self.action:03d}"
        )
        return ClipInfo(name, self.action - 1, self.subject, self.camera, self.setup)


def render(take: Take, *, seed: int = 0, noise: bool = True) -> Array:
    """What the sensor saw: (M, T, 25, 3) float64 metres in its frame, not normalised.

    Args:
        take: what to record. Each camera has a performance of its own, so that to recognise a
            recording from another side is no way to recognise an action.
        seed: of the whole data set.
        noise: whether the sensor errs; without, all bones keep their lengths.
    """
    action = _ACTIONS[take.action - 1]
    key = (take.action, take.subject)
    habit = _rng(seed, 2, *key)
    rng = _rng(seed, 3, *key, take.repetition, take.camera, take.setup)
    who = performer(take.subject, seed=seed)
    side = action.side or ("left" if rng.random() < who.left_handed else "right")
    busy = action.seconds * FRAMES_PER_SECOND * who.tempo * float(np.exp(rng.normal(0, 0.12)))
    busy = min(busy, MAX_FRAMES - 20)
    before, after = rng.gamma(1.5, 14.0, 2)
    spare = min(1.0, (MAX_FRAMES - busy) / (before + after))
    frames = max(MIN_FRAMES, int(busy + (before + after) * spare))
    when = np.clip((np.arange(frames) - before * spare) / busy, 0, 1)
    when = when ** float(np.exp(rng.normal(0, 0.12)))
    yaw = float(np.radians(rng.normal(0, 14)))
    if action.partner is None:
        bodies = [_pose(who, _move(who, action.tracks, side, when, habit, rng), yaw)]
    else:
        # Pairs stand sideways to the middle camera. The partner is nobody's subject number: a
        # body that trains must not appear among those that test.
        yaw += float(np.pi / 2) * rng.choice((-1, 1))
        other = performer(1000 + take.subject, seed=seed)
        apart = action.distance * rng.normal(1.0, 0.06) / 2
        heading = np.array([-np.sin(yaw), 0.0, -np.cos(yaw)])
        delayed = np.clip(when - rng.uniform(0, 0.05), 0, 1)
        facing = yaw + np.pi + float(np.radians(rng.normal(0, 8)))
        first = _pose(who, _move(who, action.tracks, side, when, habit, rng), yaw)
        second = _pose(other, _move(other, action.partner, side, delayed, habit, rng), facing)
        bodies = [first - apart * heading, second + apart * heading]
        if rng.random() < 0.3:  # a tracker numbers bodies as it finds them
            bodies.reverse()
    spot = rng.normal(0, 0.15, 3) * (1, 0, 1)
    seen = _view(np.stack(bodies) + spot, take, seed)
    return _sensed(seen, rng) if noise else seen


def _view(world: Array, take: Take, seed: int) -> Array:
    """From the room's frame to the camera's; height, distance and tilt are the setup's."""
    rng = _rng(seed, 4, take.setup)
    height, distance = rng.uniform(0.9, 2.3), rng.uniform(2.4, 3.6)
    turn = _rotation(1, np.radians([-_CAMERA_DEGREES[take.camera - 1]]))[0]
    tilt = _rotation(0, -np.arctan([(height - 1.0) / distance]))[0]
    return (world @ turn.T - (0.0, height, -distance)) @ tilt.T


def _sensed(clip: Array, rng: np.random.Generator) -> Array:
    """The clip with a sensor's errors: noise, drift of what is hidden, and lost joints."""
    out = clip.copy()
    bodies, frames, joints, _ = clip.shape
    for body in range(bodies):
        depth = clip[body, ..., 2:]
        # A joint behind the trunk is guessed by the sensor: it wanders off, slowly.
        behind = depth - depth[:, KINECT_V2.centre][:, None]
        hidden = 1 / (1 + np.exp(-(behind - 0.1) / 0.05))
        out[body] += rng.standard_normal((frames, joints, 3)) * 0.007 * (depth / 3) ** 2
        out[body] += _wander(rng, frames, 7, (joints, 3)) * (0.010 + 0.035 * hidden)
        for _ in range(rng.poisson(1.5)):
            joint = rng.choice(_LIMB_ENDS)
            start, count = rng.integers(1, frames), rng.integers(2, 14)
            kind, lost = rng.random(), out[body, start : start + count, joint]
            if kind < 0.2:
                lost[:] = 0.0
            elif kind < 0.7:
                lost[:] = out[body, start - 1, joint]
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
    """Generate a packed data set of every action by every subject before every camera.

    A subject changes the setup with each repetition. Protocols are NTU's: odd subjects, cameras
    2 and 3, and even setups train; one is left out where a side of it would be empty.

    Args:
        path: the directory to write; whatever stood there is replaced at the end.
        subjects: how many performers.
        repetitions: how often each does an action before each camera.
        cameras: 1 to 3.
        setups: how many placements of the cameras.
        seed: the same gives the same fingerprint.
        normalisation: what is done to the coordinates; everything by default.
        progress: called with the numbers of clips done and of clips in all.

    Raises:
        UserError: if a number is out of range.
    """
    limits = {"subjects": (subjects, 999), "repetitions": (repetitions, 999),
              "cameras": (cameras, len(_CAMERA_DEGREES)), "setups": (setups, 999)}  # fmt: skip
    for what, (given, most) in limits.items():
        if not 1 <= given <= most:
            raise UserError(f"synthetic data: {what} is {given}, it must be 1 to {most}")
    if seed < 0:
        raise UserError(f"synthetic data: seed is {seed}, it must not be negative")
    options = normalisation or Normalisation()
    counts = (subjects, repetitions, cameras, len(_ACTIONS))
    rounds = list(product(*(range(1, count + 1) for count in counts)))
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
        return writer.close(_splits(writer.infos))


def _splits(infos: tuple[ClipInfo, ...]) -> dict[str, NDArray[np.int8]]:
    trains = {
        "xsub": [info.subject % 2 == 1 for info in infos],
        "xview": [info.camera != 1 for info in infos],
        "xsetup": [info.setup % 2 == 0 for info in infos],
    }
    rows = {name: sides_of(np.array(row)) for name, row in trains.items()}
    return {name: row for name, row in rows.items() if {TRAIN, TEST} <= set(row.tolist())}


def open_embedded() -> SkeletonDataset:
    """The data set of default size and seed, generated on first use into the cache.

    A cache that is damaged is made anew.

    Raises:
        UserError: if the cache directory cannot be written.
    """
    cached = cache_directory() / f"synthetic-{GENERATOR_VERSION}-{FORMAT_VERSION}"
    if (cached / "meta.json").is_file():
        try:
            dataset = SkeletonDataset.open(cached)
            if dataset.content_digest() == dataset.fingerprint:
                return dataset
        except (UserError, EOFError, zipfile.BadZipFile):
            pass
        shutil.rmtree(cached, ignore_errors=True)
    try:
        return synthesize(cached)
    except PermissionError as error:
        raise UserError(
            f"cannot write the cache of synthetic data: {error.filename}; set SKELCON_CACHE to a "
            "directory that can be written"
        ) from None
