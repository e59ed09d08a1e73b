"""Joints that jump away and back in one frame, and bodies that are somewhere else in the next."""

from __future__ import annotations

import numpy as np

from skelcon.data.anatomy import height_of
from skelcon.data.checks.case import Case
from skelcon.data.checks.finding import Finding, number_of, of_clips

FAR = 0.35
"""A move from one frame to the next by this share of a body's height is not a movement."""
UNUSUAL = 10.0
"""A jump is at least this many times the usual move of the clip's joints."""


def judge_jumps(case: Case) -> list[Finding] | str:
    """Clips with a jump that no body makes."""
    anatomy = case.body
    height = height_of(anatomy.distances, case.layout) or float(
        np.nan_to_num(anatomy.distances).max()
    )
    jumps = case.scan.jumps
    bad = [
        clip
        for clip, jump in jumps.items()
        if jump.distance > max(FAR * height, UNUSUAL * jump.usual)
    ]
    if not height or not bad:
        return f"no joint goes {FAR:.0%} of a height and back in a frame"
    bad.sort(key=lambda clip: -jumps[clip].distance)
    farthest = jumps[bad[0]].distance / height
    text = (
        f"{number_of(bad, 'clip has', 'clips have')} a joint or a body that jumps: by up to "
        f"{farthest:.2f} of a body's height in one frame; look at them (--sheet), and leave out "
        "what is damaged (--exclude)"
    )
    frames = [jumps[clip].frame for clip in bad]
    return [of_clips("jump", bad, case.dataset, text, "note", frames)]
