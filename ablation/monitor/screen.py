"""The look of a run on a terminal: in the driver's live view and in ``status``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from ablation.monitor.run_state import Running, Sheet, SheetCell, Snapshot
from ablation.text import KEY_DIGITS, duration, short_key
from skelcon.cli.terminal import styled

STYLES = {
    "best": "bold",
    "running": "cyan",
    "failed": "red",
    "to come": "dim",
    "not applicable": "dim",
}
WORDS = {"running": "running", "failed": "failed", "to come": "·", "not applicable": "n/a"}
LEAST_LABEL = 12
"""The smallest width of a unit's label, in columns."""


def eta(seconds: float | None) -> str:
    """The time that is left, or dots."""
    return "..." if seconds is None else duration(seconds)


def counts(now: Snapshot) -> str:
    """What runs, is to come, was cached and has failed, in words."""
    further = {"cached": now.cached, "pruned": now.pruned, "failed": now.failed}
    further["cannot run"] = now.cannot_run
    parts = [f"{len(now.running)} running", f"{now.to_come} to come"]
    return ", ".join(parts + [f"{number} {what}" for what, number in further.items() if number])


def summary(now: Snapshot) -> str:
    """The further lines of a search, such as ``best 71.3 % (trial 3)``."""
    return ", ".join(f"{label} {value}" for label, value in now.summary)


def screen(now: Snapshot, width: int, height: int) -> RenderableType:
    """The whole view, in the lines and columns of the terminal."""
    parts = head(now, width)
    space = height - len(parts) - 1  # the line of the cursor
    table = None
    # The table is left out where it would hide all running units.
    if now.table is not None and len(now.table.rows) + 6 <= space:
        table = table_grid(now.table, width)
        space -= len(now.table.rows) + 2 if table is not None else 0
    if now.running:
        parts += ["", running_grid(now.running, width, space - 1)]
    if table is not None:
        parts += ["", table]
    return Group(*parts)


def head(now: Snapshot, width: int) -> list[RenderableType]:
    """The study's name, bar, counts and ETA, in two to four lines."""
    done, left = f"{now.done}/{now.units} units", f"ETA {eta(now.eta_s)}"
    # Room for the longest ETA is kept, so that the bar does not change its length.
    bar = max(6, min(60, width - len(now.study) - len(done) - len("ETA 10 min 10 s") - 6))
    line = Grid.grid(padding=(0, 2, 0, 0))
    line.add_row(
        styled(now.study, style="bold", no_wrap=True, overflow="ellipsis"),
        ProgressBar(total=max(1, now.units), completed=now.progress, width=bar),
        styled(done, style="bold", no_wrap=True),
        styled(left, no_wrap=True),
    )
    text = styled(f"{counts(now)}, {duration(now.seconds)} elapsed", "dim")
    text.highlight_regex(r"\d+ failed|\d+ cannot run", "not dim red")
    lines: list[RenderableType] = [line, text]
    if now.summary:
        lines.append(styled(summary(now), no_wrap=True, overflow="ellipsis"))
    if now.waiting:
        lines.append(styled(f"waiting: {now.waiting}", "yellow"))
    return lines


class _Column(NamedTuple):
    """A column of the running units, shown on terminals of at least ``least`` columns."""

    name: str
    width: int
    least: int
    show: Callable[[Running], RenderableType]
    justify: Literal["left", "right"] = "right"


def _bar(each: Running) -> RenderableType:
    if not each.epochs:
        return ""
    return ProgressBar(total=each.epochs, completed=each.epoch, width=BAR)


def _speed(each: Running) -> str:
    return f"{each.samples_per_s:.0f}" if each.samples_per_s else ""


BAR = 14
"""Columns of a running unit's bar."""
COLUMNS = (
    _Column("unit", KEY_DIGITS, 76, lambda each: short_key(each.unit), "left"),
    _Column("running", 0, 0, lambda each: each.label, "left"),
    _Column("", BAR, 100, _bar, "left"),
    _Column("epoch", 7, 0, lambda each: f"{each.epoch}/{each.epochs}" if each.epochs else ""),
    _Column("loss", 6, 0, lambda each: "" if each.loss is None else f"{each.loss:.3f}"),
    _Column("samples/s", 9, 90, _speed),
    _Column("ETA", 11, 0, lambda each: "" if each.eta_s is None else duration(each.eta_s)),
)
"""Of the units that run; their labels take the room that the others leave."""


def running_grid(shown: Sequence[Running], width: int, lines: int | None = None) -> RenderableType:
    """The running units, as many as fit in ``lines``."""
    columns = [column for column in COLUMNS if width >= column.least]
    others = sum(column.width + 2 for column in columns if column.width)
    grid = _grid()
    for column in columns:
        most = None if column.width else max(LEAST_LABEL, width - others)
        grid.add_column(
            column.name, no_wrap=True, justify=column.justify, overflow="ellipsis", max_width=most
        )
    total = len(shown)
    room = total if lines is None else max(1, lines - 1)
    if total > room:
        shown = shown[: max(1, room - 1)]
    for each in shown:
        grid.add_row(*(column.show(each) for column in columns))
    if len(shown) < total:
        more = styled(f"and {total - len(shown)} more", "dim")
        grid.add_row(*("" for column in columns[: columns.index(COLUMNS[1])]), more)
    return grid


def _grid() -> Grid:
    return Grid(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)


def table_grid(sheet: Sheet, width: int) -> Grid | None:
    """The table so far; None if it is wider than ``width``."""
    grid = _grid()
    grid.add_column("table so far", no_wrap=True)
    for label in sheet.columns:
        grid.add_column(label, justify="right", no_wrap=True)
    widths = [len(label) for label in ("table so far", *sheet.columns)]
    for label, cells in sheet.rows:
        texts = [styled(label), *(_text(cell) for cell in cells)]
        widths = [max(w, text.cell_len) for w, text in zip(widths, texts, strict=True)]
        grid.add_row(*texts)
    return grid if sum(widths) + 2 * (len(widths) - 1) <= width else None


def _text(cell: SheetCell) -> Text:
    return styled(cell.text or WORDS.get(cell.state, ""), style=STYLES.get(cell.state, ""))
