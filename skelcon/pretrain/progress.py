"""How a training in progress is shown: a bar where something can be redrawn, else a few lines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import rich
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from skelcon.pretrain.metrics import EpochMetrics

LINES = 10
"""About so many lines where there is no terminal and no notebook."""


@contextlib.contextmanager
def shown(
    epochs: int, done: int = 0, console: Console | None = None
) -> Iterator[Callable[[EpochMetrics], None]]:
    """Show a training in this block; gives what takes the metrics of each epoch.

    Args:
        epochs: how many there are.
        done: how many have been run before.
        console: where; standard output if not set.
    """
    console = console or rich.get_console()
    if not (console.is_terminal or console.is_jupyter):
        every = max(1, epochs // LINES)

        def line(metrics: EpochMetrics) -> None:
            epoch = metrics.epoch + 1
            if epoch % every == 0 or epoch in (done + 1, epochs):
                text = f"epoch {epoch}/{epochs}  {_in_words(metrics)}"
                console.print(text, soft_wrap=True, highlight=False, markup=False)

        yield line
        return
    # The spinner turns and the time runs while an epoch takes its minutes.
    columns = SpinnerColumn(), TextColumn("epoch"), MofNCompleteColumn(), BarColumn()
    text = TextColumn("{task.fields[found]}")
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), text, console=console
    ) as bar:
        task = bar.add_task("", total=epochs, completed=done, found="starting")

        def redraw(metrics: EpochMetrics) -> None:
            bar.update(task, completed=metrics.epoch + 1, found=_in_words(metrics))

        yield redraw


def _in_words(metrics: EpochMetrics) -> str:
    """``loss 3.210  top-1 12.3 %  810 clips/s``."""
    parts = [f"loss {metrics.loss:.3f}"]
    if metrics.top1 is not None:
        parts.append(f"top-1 {100 * metrics.top1:.1f} %")
    if metrics.nn_top1 is not None:
        parts.append(f"nearest neighbour {100 * metrics.nn_top1:.1f} %")
    return "  ".join([*parts, f"{metrics.samples_per_s:.0f} clips/s"])
