"""What an import would make of files, by a look at some of their clips, for ``--dry-run``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from skelcon.data.anatomy import FRAMES, Doubt, anatomy_of_bodies, doubts, seen_joints
from skelcon.data.importers.own.division import described
from skelcon.data.importers.own.source import OwnSource
from skelcon.data.importers.parts import clips_of
from skelcon.data.importers.report import by_reason
from skelcon.data.importers.source import RawClip, SkippedFile, Source
from skelcon.data.layouts import SkeletonLayout
from skelcon.errors import UserError
from skelcon.printable import counted

MOST_CLIPS = 40
SECONDS = 10.0
"""After which no more items are read."""
_TALL = (0.5, 2.6)
"""Metres between which a person's height is plausible."""
_SHOWN = 4


@dataclass(frozen=True)
class Preview:
    """What an import would make of a source, judged by some of its items.

    Attributes:
        facts: (what, text) of each. A ``protocol`` is one fact; ``odd`` are facts to look at.
        first: the first clip that is good.
    """

    facts: tuple[tuple[str, str], ...]
    first: RawClip | None


@np.errstate(all="ignore")
def preview(source: Source) -> Preview:
    """Look at some clips of a source, spread evenly over it.

    Raises:
        UserError: if nothing can be made of the files at all.
    """
    good, bad = _looked_at(source)
    infos = [clip.info for clip in good]
    lengths = [clip.coordinates.shape[1] for clip in good]
    bodies = Counter(int(np.any(clip.coordinates, axis=(1, 2, 3)).sum()) for clip in good)
    shown = ", ".join(
        f"{count} in {counted(clips, 'clip')}" for count, clips in sorted(bodies.items())
    )
    layout = source.layout
    joints = f"{layout.name}: {layout.num_joints} joints, {layout.dimensions}D"
    protocols, refused = _protocols(source)
    size, strange = _size(good, layout)
    doubted = [each.text for each in _doubts(good, source) if not (strange and each.kind == "unit")]
    odd = [*refused, *strange, *doubted, *_odd(good, bad)]
    odd += [note.text for note in source.notes(infos)]
    clips = sum(source.clips_in(item) for item in source.items)
    frames = f"{min(lengths)} to {max(lengths)}, median {np.median(lengths):g}" if good else ""
    facts = [
        ("clips", f"{clips:,}; {counted(len(good) + len(bad), 'clip')} read"),
        ("classes", _classes(source)),
        ("groups", _groups(source)),
        ("layout", f"{joints}; bodies: {shown}"),
        ("frames", frames),
        ("size", size),
        *(("protocol", text) for text in protocols),
        *(("odd", text) for text in odd),
    ]
    return Preview(tuple((name, text) for name, text in facts if text), good[0] if good else None)


def _looked_at(source: Source) -> tuple[list[RawClip], list[SkippedFile]]:
    good: list[RawClip] = []
    bad: list[SkippedFile] = []
    until = time.monotonic() + SECONDS
    count = len(source.items)
    for at in sorted({*np.linspace(0, count - 1, min(count, MOST_CLIPS)).astype(int).tolist()}):
        for found in clips_of(source, at):
            if isinstance(found, RawClip):
                good.append(found)
            else:
                bad.append(found)
            if len(good) + len(bad) >= MOST_CLIPS:
                break
        if len(good) + len(bad) >= MOST_CLIPS or time.monotonic() > until:
            break
    return good, bad


def _classes(source: Source) -> str:
    names = source.class_names
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    if not isinstance(source, OwnSource):
        return f"{len(names)}: {shown}"
    sizes = Counter(fact.get("label") for fact in source.catalogue.facts)
    counts = [sizes.get(label, 0) for label in source.catalogue.labels]
    each = f"{min(counts):,} to {counted(max(counts), 'clip')}"
    if min(counts) == max(counts):
        each = f"{counted(max(counts), 'clip')} each"
    return f"{len(names)} of {each}: {shown}"


def _groups(source: Source) -> str:
    if not isinstance(source, OwnSource):
        return ""
    return ", ".join(
        counted(len(codes), group) for group, codes in source.catalogue.codes.items() if codes
    )


def _protocols(source: Source) -> tuple[list[str], list[str]]:
    """Protocols in words, and why the source would be refused."""
    try:
        source.check()
    except UserError as error:
        return [], [str(error)]
    if not isinstance(source, OwnSource):
        return [], []
    facts = source.catalogue.facts
    rows = [(each, each.row(facts, source.base)) for each in source.divisions]
    return [f"{each.name} ({each.rule}): {described(row, facts, '')}" for each, row in rows] or [
        "none"
    ], []


def _size(clips: Sequence[RawClip], layout: SkeletonLayout) -> tuple[str, list[str]]:
    """How tall bodies are, and what is strange about it."""
    up = "xyz".index(layout.up[-1])
    heights = []
    for clip in clips:
        main = clip.coordinates[int(np.any(clip.coordinates, axis=(1, 2, 3)).argmax())]
        frame = main[int(np.any(main, axis=(1, 2)).argmax())]
        known = frame[np.any(frame, axis=-1)][:, up]
        heights.append(float(np.ptp(known)) if len(known) else 0.0)
    if not heights:
        return "", []
    tall = float(np.median(heights))
    if layout.unit == "px":
        return f"bodies are {tall:.0f} px high (median of first frames)", []
    text = f"bodies are {tall:.3g} m high (median of first frames)"
    if _TALL[0] <= tall <= _TALL[1]:
        return text, []
    fits = [
        unit
        for unit, factor in (("cm", 0.01), ("mm", 0.001))
        if _TALL[0] <= tall * factor <= _TALL[1]
    ]
    hint = f"is the unit {fits[0]} (--unit {fits[0]})?" if fits else "are unit and layout right?"
    return text, [f"a body of {tall:.3g} m cannot be a person: {hint}"]


def _doubts(clips: Sequence[RawClip], source: Source) -> tuple[Doubt, ...]:
    """In what the main bodies of the clips contradict the layout."""
    layout, done = source.layout, source.normalised
    bodies = []
    for clip in clips:
        frames = np.any(clip.coordinates, axis=(2, 3)).sum(axis=1)
        body = np.asarray(clip.coordinates[int(frames.argmax())], np.float64)
        rows = np.unique(np.linspace(0, len(body) - 1, FRAMES).round().astype(int))
        bodies.append(seen_joints(body[rows], layout, done))
    return doubts(anatomy_of_bodies(bodies), layout, done) if bodies else ()


def _odd(clips: Sequence[RawClip], bad: Sequence[SkippedFile]) -> Iterator[str]:
    for group in by_reason(bad):
        names = ", ".join(group.names[:_SHOWN])
        count = counted(group.count, "bad clip")
        yield f"{count} among those that were read, such as {names}: {group.reason}"
    counts: Counter[str] = Counter()
    for clip in clips:
        counts.update(clip.counts)
    if counts:
        yield ", ".join(f"{number:,} {what}" for what, number in counts.items())
