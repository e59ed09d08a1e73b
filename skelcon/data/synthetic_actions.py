"""The actions of synthetic clips: a table of keys and swings, for :mod:`skelcon.data.synthetic`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Keys = Mapping[str, tuple[float, ...]]
"""Degrees (metres for shifts) of a channel, evenly spaced in time."""


class Action(NamedTuple):
    """An action: its keys, evenly spaced, start and (unless it ``stays``) end at rest.

    ``keys`` are degrees (metres for shifts) on top of the posture; ``swings`` oscillate: amplitude,
    cycles, phase in turns. ``a.`` is the acting ``side`` (or the performer's choice), ``b.`` the
    other, ``ab.`` both, else the trunk. The bodies of a pair are ``apart`` metres apart; the second
    follows ``partner``, or the same keys.
    """

    name: str
    seconds: float
    keys: Keys
    swings: Mapping[str, tuple[float, float, float]] = {}
    side: str = ""
    stays: bool = False
    apart: float = 0.0
    partner: Keys | None = None


_WAVE = {"a.abduct": (70, 75, 75), "a.twist": (-80, -85, -80), "a.elbow": (85, 85, 85)}
ACTIONS = (
    Action("wave right hand", 2.2, _WAVE, {"a.elbow": (24, 3, 0)}, side="right"),
    Action("wave left hand", 2.2, _WAVE, {"a.elbow": (24, 3, 0)}, side="left"),
    Action(
        "clap",
        2.0,
        {"ab.flex": (44, 44), "ab.elbow": (75, 75), "ab.twist": (18, 20, 18)},
        {"ab.twist": (20, 4, 0)},
    ),
    Action(
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
    Action(
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
    Action("push forwards", 1.6, {"ab.flex": (32, 84, 45), "ab.elbow": (105, 10, 75)}),
    Action(
        "drink",
        2.3,
        {
            "a.flex": (40, 54, 54, 40),
            "a.elbow": (90, 122, 122, 90),
            "a.twist": (25, 35, 35, 25),
            "head.pitch": (0, -18, -18, 0),
        },
    ),
    Action(
        "answer phone",
        2.3,
        {
            "a.flex": (22, 30, 30, 25),
            "a.elbow": (105, 140, 140, 105),
            "a.abduct": (18, 34, 34, 20),
            "head.roll": (0, 10, 10, 0),
        },
    ),
    Action("point", 1.8, {"a.flex": (82, 86, 84), "a.elbow": (30, 8, 8)}),
    Action("kick", 1.4, {"a.hip": (-22, 62, 20), "a.knee": (65, 15, 30), "waist": (4, -10, -2)}),
    Action(
        "squat",
        2.0,
        {
            "ab.hip": (45, 85, 45),
            "ab.knee": (55, 105, 55),
            "waist": (14, 24, 14),
            "ab.flex": (35, 65, 35),
        },
    ),
    Action(
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
    Action("bow", 2.0, {"waist": (32, 52, 32), "head.pitch": (14, 20, 14)}),
    Action(
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
    Action(
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
    Action(
        "shake hands",
        2.2,
        {"a.flex": (42, 45, 42), "a.elbow": (35, 40, 35)},
        {"a.flex": (7, 4, 0)},
        side="right",
        apart=0.95,
    ),
    Action(
        "push each other",
        1.6,
        {"ab.flex": (32, 84, 45), "ab.elbow": (100, 15, 75), "waist": (2, 14, 5)},
        apart=0.85,
        partner={"waist": (0, -4, -18), "ab.flex": (0, 10, 35), "forward": (0, -0.1, -0.2)},
    ),
    Action(
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
