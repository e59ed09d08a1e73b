"""How a running study looks on a terminal: in the driver's live view and in ``status``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from ablation.live.snapshot import Cell, Running, Sheet, Snapshot
from ablation.tables.display import duration

WIDE = 100
"""From this width on a unit that runs has a bar and its key."""
NARROW = 76
"""Below this width its samples per second are left out."""
WIDTHS = {"epoch": 7, "loss": 6, "samples/s": 9, "ETA": 11}
KEY, BAR = 8, 14
"""Columns that the parts of a running unit's line take."""
STYLES = {
    "best": "bold",
    "running": "cyan",
    "failed": "red",
    "to come": "dim",
    "not applicable": "dim",
}
WORDS = {"running": "running", "failed": "failed", "to come": "·", "not applicable": "n/a"}


def eta(seconds: float | None) -> str:
    """The time that is left, or dots."""
    return "..." if seconds is None else duration(seconds)


def counts(now: Snapshot) -> str:
    """What runs, is to come, was cached and has failed, in words."""
    parts = [f"{len(now.running)} running", f"{now.to_come} to come"]
    if now.cached:
        parts.append(f"{now.cached} cached")
    if now.failed:
        parts.append(f"{now.failed} failed")
    if now.cannot_run:
        parts.append(f"{now.cannot_run} cannot run")
    return ", ".join(parts)


def screen(now: Snapshot, width: int, height: int) -> RenderableType:
    """All of it, in the lines and columns that there are."""
    parts = head(now, width)
    space = height - len(parts) - 1  # the line of the cursor
    table = None
    # The table is left out where it would hide all that runs.
    if now.table is not None and len(now.table.rows) + 6 <= space:
        table = table_grid(now.table, width)
        space -= len(now.table.rows) + 2 if table is not None else 0
    if now.running:
        parts += ["", running_grid(now.running, width, space - 1)]
    if table is not None:
        parts += ["", table]
    return Group(*parts)


def head(now: Snapshot, width: int) -> list[RenderableType]:
    """The study's name, bar, counts and ETA, in two or three lines."""
    done, left = f"{now.done}/{now.units} units", f"ETA {eta(now.eta_s)}"
    # (The room of the longest ETA is kept, so that the bar stays as long as it is.)
    bar = max(6, min(60, width - len(now.study) - len(done) - len("ETA 10 min 10 s") - 6))
    line = Grid.grid(padding=(0, 2, 0, 0))
    line.add_row(
        Text(now.study, style="bold", no_wrap=True, overflow="ellipsis"),
        ProgressBar(total=max(1, now.units), completed=now.progress, width=bar),
        Text(done, style="bold", no_wrap=True),
        Text(left, no_wrap=True),
    )
    text = Text(f"{counts(now)}, {duration(now.seconds)} gone", style="dim")
    text.highlight_regex(r"\d+ failed|\d+ cannot run", "not dim red")
    lines: list[RenderableType] = [line, text]
    if now.waiting:
        lines.append(Text(f"waiting: {now.waiting}", style="yellow"))
    return lines


def running_grid(shown: Sequence[Running], width: int, lines: int | None = None) -> RenderableType:
    """The units that run, as many as there are ``lines`` for."""
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    wide = width >= WIDE
    names = [name for name in WIDTHS if name != "samples/s" or width >= NARROW]
    if wide:
        grid.add_column("unit", no_wrap=True)
    room_of_label = width - sum(WIDTHS[name] + 2 for name in names) - (KEY + BAR + 4) * wide
    grid.add_column("running", no_wrap=True, overflow="ellipsis", max_width=max(12, room_of_label))
    if wide:
        grid.add_column("", no_wrap=True)
    for name in names:
        grid.add_column(name, justify="right", no_wrap=True)
    total = len(shown)
    room = total if lines is None else max(1, lines - 1)
    if total > room:
        shown = shown[: max(1, room - 1)]
    for each in shown:
        cells: list[RenderableType] = [each.unit[:KEY]] if wide else []
        cells.append(each.label)
        if wide:
            bar = ProgressBar(total=each.epochs, completed=each.epoch, width=BAR)
            cells.append(bar if each.epochs else "")
        values = {
            "epoch": f"{each.epoch}/{each.epochs}" if each.epochs else "",
            "loss": f"{each.loss:.3f}" if each.loss is not None else "",
            "samples/s": f"{each.samples_per_s:.0f}" if each.samples_per_s else "",
            "ETA": duration(each.eta_s) if each.eta_s is not None else "",
        }
        grid.add_row(*cells, *(values[name] for name in names))
    if len(shown) < total:
        more = Text(f"and {total - len(shown)} more", style="dim")
        grid.add_row(*(["", more] if wide else [more]))
    return grid


def table_grid(sheet: Sheet, width: int) -> Grid | None:
    """The table so far; None if it is wider than ``width``."""
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    grid.add_column("table so far", no_wrap=True)
    for label in sheet.columns:
        grid.add_column(label, justify="right", no_wrap=True)
    widths = [len(label) for label in ("table so far", *sheet.columns)]
    for label, cells in sheet.rows:
        texts = [Text(label), *(_text(cell) for cell in cells)]
        widths = [max(w, text.cell_len) for w, text in zip(widths, texts, strict=True)]
        grid.add_row(*texts)
    return grid if sum(widths) + 2 * (len(widths) - 1) <= width else None


def _text(cell: Cell) -> Text:
    return Text(cell.text or WORDS.get(cell.state, ""), style=STYLES.get(cell.state, ""))
