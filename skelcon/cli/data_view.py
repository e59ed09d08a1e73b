"""How the data tool prints summaries, findings, and what an import skipped.

Nothing is cut, and no line is broken inside a path or a name, however narrow the terminal.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rich.console import Console

from skelcon.cli.terminal import joined, line, styled
from skelcon.printable import counted

if TYPE_CHECKING:
    from pathlib import Path

    from skelcon.data import SkeletonDataset
    from skelcon.data.checks import Finding, Findings, Verdict
    from skelcon.data.importers.report import ImportReport
    from skelcon.data.importers.source import Note
    from skelcon.data.summary import Lengths, Summary

WIDTH = 80
_LABEL = 16
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SHOWN = 5
_STATES = {"ok": "green", "note": "yellow", "error": "bold red"}
_SKIPPED = 10
"""How many skipped files an import prints; its report lists all."""


def summary(console: Console, data: Summary, source: str | None = None) -> None:
    """A data set in about twenty lines; ``source`` is what it was imported from."""
    line(console, styled(data.name + (" (synthetic)" if data.synthetic else ""), "bold"))
    smallest, largest = data.classes.smallest, data.classes.largest
    sizes = f"{counted(smallest[1], 'clip')} each"
    if smallest[1] != largest[1]:
        sizes = (
            f"{smallest[1]:,} to {counted(largest[1], 'clip')} each "
            f"(fewest: {smallest[0]}; most: {largest[0]})"
        )
    bodies = [f"{count} in {counted(clips, 'clip')}" for count, clips in data.bodies.items()]
    facts = [
        ("path", data.path),
        ("imported from", source or ""),
        ("layout", f"{data.layout}, {data.joints} joints"),
        ("layout family", data.family),
        ("normalisation", ", ".join(data.normalisation).replace("_", "-") or "none"),
        ("fingerprint", data.fingerprint),
        ("on disk", _size(data.bytes)),
        ("clips", f"{data.clips:,}"),
        ("classes", f"{data.classes.count}, {sizes}"),
        ("subjects", _ranges(data.subjects)),
        ("cameras", _ranges(data.cameras)),
        ("setups", _ranges(data.setups)),
        ("bodies", ", ".join(bodies)),
        ("missing joints", f"{100 * data.missing_joints:.2f} %"),
    ]
    if data.empty_frames:
        facts.append(("empty frames", f"{100 * data.empty_frames:.2f} %"))
    for each in data.protocols:
        neither = f", {each.neither:,} neither" if each.neither else ""
        facts.append((each.protocol, f"{each.train:,} train, {each.test:,} test{neither}"))
    facts.append(
        (
            "frames",
            f"{data.lengths.min:,} to {data.lengths.max:,} a clip, median "
            f"{data.lengths.median:g}, {data.lengths.total:,} in all",
        )
    )
    for name, value in facts:
        # A path stays on one line, so that it can be copied.
        rows = [value] if name == "path" else _folded(console, value, _LABEL + 2)
        for number, row in enumerate(rows):
            label = "" if number else name
            line(console, joined((f"  {label:<{_LABEL}}", "dim"), row))
    _histogram(console, data.lengths)


def _histogram(console: Console, lengths: Lengths) -> None:
    """The number of clips by length, one bar per line."""
    blocks = "" if console.options.ascii_only else _EIGHTHS
    most = max(clips for _, _, clips in lengths.bins)
    room = max(8, min(console.width, WIDTH) - _LABEL - 2 - len(f" {most:,}"))
    for first, last, clips in lengths.bins:
        label = f"{first}-{last}" if last > first else str(first)
        eighths = -(-clips * room * 8 // most)  # a bar of some clips is never empty
        if blocks:
            bar = blocks[8] * (eighths // 8) + blocks[eighths % 8].strip()
        else:
            bar = "#" * -(-eighths // 8)
        text = joined((f"{label:>{_LABEL}}  ", "dim"), (bar, "cyan"), f" {clips:,}")
        line(console, text)


def findings(console: Console, found: Findings) -> None:
    """A line for each verdict, then everything that was found, errors first."""
    line(
        console,
        joined((found.name, "bold"), f", {counted(found.clips, 'clip')}, {found.fingerprint}"),
    )
    line(console, styled(found.path, "dim"))
    line(console, "")
    for verdict in found.verdicts:
        _verdict(console, verdict)
    for each in found.findings:
        _finding(console, each)


def _verdict(console: Console, verdict: Verdict) -> None:
    """A verdict in a line; of notes and errors, whose texts follow, only the first words."""
    word = "-" if verdict.state == "not judged" else verdict.state
    text = verdict.text
    if verdict.state in ("note", "error"):
        text = text.split(":")[0]
    rows = _folded(console, text, _LABEL + 10)
    for number, row in enumerate(rows):
        heads = ("", "") if number else (word, verdict.about)
        style = _STATES.get(verdict.state, "dim")
        line(console, joined((f"  {heads[0]:<6}", style), f"{heads[1]:<{_LABEL}}", row))


def _finding(console: Console, found: Finding) -> None:
    style = _STATES[found.severity]
    about = f" ({found.protocol})" if found.protocol else ""
    line(console, "")
    line(console, joined((f"{found.severity}: {found.kind}{about}", style)))
    _wrapped(console, found.text)
    shown = [f"{one} = {other}" for one, other in found.pairs] or list(found.names)
    _listed(console, shown, found.count)


def skipped(console: Console, report: ImportReport | None) -> None:
    """What the import left out, by reason."""
    from skelcon.data.importers.report import by_reason

    if report is None:
        return
    _bodies_and_notes(console, report)
    if not (report.skipped or report.excluded):
        return
    line(console, "")
    parts = []
    if report.skipped:
        parts.append(_skipped_in_all(report))
    if report.excluded:
        parts.append(f"{report.excluded:,} excluded")
    parts.append(f"{counted(report.clips, 'clip')} made")
    line(console, styled(f"import: {', '.join(parts)}", "yellow"))
    for group in by_reason(report.skipped):
        alike = "" if group.count == 1 else f"{group.count:,} like this: "
        _wrapped(console, alike + group.reason)
        _listed(console, list(group.names), group.count)


def imported(console: Console, report: ImportReport, out: Path) -> None:
    """What an import to ``out`` skipped, how it treated bodies, and what it found odd."""
    from skelcon.data.writer import REPORT

    for bad in report.skipped[:_SKIPPED]:
        where = "" if bad.line is None else f", line {bad.line}"
        lost = "" if bad.clips == 1 else f" ({counted(bad.clips, 'clip')} lost)"
        line(console, f"skipped {bad.name}{where}: {bad.reason}{lost}")
    if report.skipped:
        line(console, f"{_skipped_in_all(report)} in all, listed in {out / REPORT}")
    _bodies_and_notes(console, report)


def import_warnings(console: Console, dataset: SkeletonDataset, path: Path) -> None:
    """One line for what the import of ``path`` lost, and one for what it found odd."""
    from skelcon.data.importers.report import read_report

    report = None if dataset.path == path else read_report(dataset.path)
    if report is None:
        return
    if report.skipped:
        first = report.skipped[0]
        count = counted(report.lost, "bad clip")
        where = f"warning: {count} left out of '{path}'; the first, {first.name}: "
        line(console, where + first.reason)
    odd = [note for note in report.notes if note.about != "files"]
    odd.sort(key=lambda note: _word(note) != "warning")
    if odd:
        more = "" if len(odd) == 1 else f" (and {len(odd) - 1} more: skelcon data info '{path}')"
        line(console, f"{_word(odd[0])}: {odd[0].about} of '{path}': {odd[0].text}{more}")


def _skipped_in_all(report: ImportReport) -> str:
    """``3 skipped``, and how many clips these are if that is more."""
    count = f"{len(report.skipped):,} skipped"
    if report.lost == len(report.skipped):
        return count
    return f"{count} ({counted(report.lost, 'clip')})"


def _bodies_and_notes(console: Console, report: ImportReport) -> None:
    if report.bodies is not None:
        line(console, f"bodies: {report.bodies}")
    for note in report.notes:
        named = f": {', '.join(note.names[:_SHOWN])}" if note.names else ""
        more = f", and {len(note.names) - _SHOWN:,} more" if len(note.names) > _SHOWN else ""
        line(console, styled(f"{_word(note)}: {note.about}: {note.text}{named}{more}", "yellow"))


def _word(note: Note) -> str:
    """A note that contradicts the layout is a warning."""
    from skelcon.data.anatomy import DOUBTS

    return "warning" if note.about in DOUBTS else "note"


def verdict(console: Console, found: Findings) -> None:
    """The last line: whether the data can be used."""
    numbers = (len(found.errors), "error"), (len(found.notes), "note")
    counts = [counted(number, noun) for number, noun in numbers if number]
    line(console, "")
    style = "bold red" if found.errors else "green"
    line(console, styled(", ".join(counts) or "nothing wrong", style))


def _folded(console: Console, text: str, indent: int) -> list[str]:
    """``text`` in rows that fit after ``indent``; words are not broken, they may be paths."""
    width = max(20, min(console.width, WIDTH) - indent)
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _wrapped(console: Console, text: str, style: str = "") -> None:
    """Indented text under a heading."""
    for row in _folded(console, text, 2):
        line(console, styled(f"  {row}", style))


def _listed(console: Console, names: list[str], count: int) -> None:
    if names:
        more = f", and {count - _SHOWN:,} more" if count > _SHOWN else ""
        _wrapped(console, ", ".join(names[:_SHOWN]) + more, "dim")


def _size(count: int) -> str:
    """Bytes in the largest unit (powers of 1000) of which there is at least one."""
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"


def _ranges(numbers: tuple[int, ...]) -> str:
    """``8: 1-3, 5, 7-10``; with many runs only the first and the last number."""
    if not numbers:
        return "unknown"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    if len(runs) > 8:
        return f"{len(numbers)} between {numbers[0]} and {numbers[-1]}"
    shown = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
    return f"{len(numbers)}: {shown}"
