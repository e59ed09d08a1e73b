"""Shows a training in progress: a bar on a terminal or in a notebook, else a few lines."""

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
"""About how many lines, without a terminal and a notebook."""


@contextlib.contextmanager
def shown(
    epochs: int, done: int = 0, console: Console | None = None
) -> Iterator[Callable[[EpochMetrics], None]]:
    """Show a training while this block runs; yields a function to call with each epoch's metrics.

    Args:
        epochs: how many there are in all.
        done: how many were run before.
        console: where to show it; standard output if not set.
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
    # Spinner and time show that it is alive while an epoch takes minutes.
    columns = SpinnerColumn(), TextColumn("epoch"), MofNCompleteColumn(), BarColumn()
    text = TextColumn("{task.fields[metrics]}")
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), text, console=console
    ) as bar:
        task = bar.add_task("", total=epochs, completed=done, metrics="starting")

        def redraw(metrics: EpochMetrics) -> None:
            bar.update(task, completed=metrics.epoch + 1, metrics=_in_words(metrics))

        yield redraw


def _in_words(metrics: EpochMetrics) -> str:
    """``loss 3.210  contrast top-1 12.3 %  810 clips/s``."""
    parts = [f"loss {metrics.loss:.3f}"]
    if metrics.top1 is not None:
        parts.append(f"contrast top-1 {100 * metrics.top1:.1f} %")
    if metrics.nn_top1 is not None:
        parts.append(f"nearest neighbour {100 * metrics.nn_top1:.1f} %")
    return "  ".join([*parts, f"{metrics.samples_per_s:.0f} clips/s"])
