"""Joint order, unit, axis up, and bones that keep their length."""

from __future__ import annotations

import numpy as np

from skelcon.data.anatomy import (
    UPRIGHT,
    DoubtKind,
    bone_variation,
    height_of,
    main_bodies,
    up_axis,
)
from skelcon.data.checks.case import Case
from skelcon.data.checks.finding import Finding, number_of, of_clips

LOOSE = 0.2
"""Bones whose length varies more over a clip are reported. Kinects have 0.02 to 0.09."""
WORSE = 3.0
"""Times as much as in other clips."""
_EXAMPLES = 4


def _doubted(case: Case, kind: DoubtKind) -> list[Finding]:
    """The doubts of a kind, with some clips to look at."""
    chosen = np.unique(np.linspace(0, len(case.dataset) - 1, _EXAMPLES).round().astype(int))
    places = tuple((clip, int(case.dataset.lengths[clip]) // 2) for clip in chosen.tolist())
    return [
        Finding(kind, doubt.severity, len(case.dataset), doubt.text, places=places)
        for doubt in case.doubts
        if doubt.kind == kind
    ]


def _judged(case: Case) -> str:
    """By which layout it was judged, if not by its own."""
    return "" if case.layout is case.dataset.layout else f" (as {case.layout.name})"


def judge_order(case: Case) -> list[Finding] | str:
    """Whether the joints are in the order of the layout."""
    own, _ = case.fits
    if own is None:
        return "too few joints are seen to judge it"
    return _doubted(case, "joint-order") or (
        f"{own.layout.name} fits: length {own.length:.2f}, asymmetry {own.asymmetry:.0%}"
    )


def judge_unit(case: Case) -> list[Finding] | str:
    """Whether the coordinates are metres."""
    if case.dataset.layout.dimensions == 2:
        return "2D: pixels have no unit"
    if case.dataset.normalisation.scale:
        return "scaled: all bodies have the same spine"
    height = height_of(case.body.distances, case.layout)
    return _doubted(case, "unit") or (
        "the layout has no head or no feet to judge it by"
        if height is None
        else f"metres: {height:.2f} from ankles to head{_judged(case)}"
    )


def judge_up(case: Case) -> list[Finding] | str:
    """Whether heads are above feet."""
    if doubted := _doubted(case, "up"):
        return doubted
    found = up_axis(case.body, case.layout)
    if found is None:
        return "the layout has no head or no feet to judge it by"
    shares, seen = found
    if shares[seen] > UPRIGHT:
        return f"the head is above the feet along {seen}{_judged(case)}"
    return "no body is upright along any axis: it cannot be judged"


def judge_bones(case: Case) -> list[Finding] | str:
    """Whether bones keep their length over a clip."""
    dataset = case.dataset
    if dataset.layout.dimensions == 2:
        return "2D: bones are foreshortened"
    bodies = main_bodies(dataset, range(len(dataset)))
    seen = np.array([bone_variation(body, case.layout) for body in bodies])
    seen[np.isnan(seen)] = 0
    usual = float(np.median(seen))
    found = []
    if usual > LOOSE:
        worst = np.argsort(-seen, kind="stable")[:_EXAMPLES].tolist()
        text = (
            f"bones are not of constant length, they vary by {usual:.0%} over a clip: are these "
            "3D coordinates of bodies, with the right joint order and axes?"
        )
        places = tuple((clip, int(dataset.lengths[clip]) // 2) for clip in worst)
        found.append(Finding("bones", "note", len(dataset), text, places=places))
    else:
        bad = np.flatnonzero(seen > max(LOOSE, WORSE * usual)).tolist()
        bad.sort(key=lambda clip: -seen[clip])
        if bad:
            text = (
                f"{number_of(bad, 'clip has', 'clips have')} bones that vary by up to "
                f"{seen[bad[0]]:.0%}, in other clips by {usual:.1%}; look at them (--sheet), and "
                "leave out what is damaged (--exclude)"
            )
            middle = [int(dataset.lengths[clip]) // 2 for clip in bad]
            found.append(of_clips("bones", bad, dataset, text, "note", middle))
    return found or f"constant: they vary by {usual:.1%} over a clip{_judged(case)}"
