"""``status``: what is done, running, failed or abandoned in a results directory."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from ablation.cli.options import JsonOption, ResultsOption
from ablation.text import duration, short_key
from skelcon.cli.terminal import PlainConsole, echo, joined, styled
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.monitor.status import Status, UnitStatus

WATCH_SECONDS = 2.0
RESUME = "To resume abandoned units, run the command that started them again."
STYLES = {"waiting": "dim", "failed": "red", "abandoned": "yellow"}


def status(
    results: ResultsOption = Path("results"),
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every two seconds, until Ctrl-C.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is done, running, failed or abandoned, from any shell."""
    from ablation.monitor.status import status_of
    from ablation.store import Store

    store, console = Store(results), PlainConsole()
    if as_json and watch:
        raise UserError("--watch with --json: give one of them")
    now = status_of(store)
    if as_json:
        typer.echo(json.dumps(now.to_json(), indent=1))
    elif not console.is_terminal:
        lines = _lines(now)
        echo("\n".join(lines))
        while watch:
            time.sleep(WATCH_SECONDS)
            before, lines = lines, _lines(status_of(store))
            for line in lines:
                if line not in before:
                    echo(line)
    elif watch:
        from rich.live import Live

        with Live(_shown(now, console.width), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_SECONDS)
                live.update(_shown(status_of(store), console.width), refresh=True)
    else:
        console.print(_shown(now, console.width))


def _head(now: Status) -> str:
    parts = [f"{now.done} done", f"{now.count('running')} running"]
    further = {"about to run": now.count("waiting"), "failed": now.count("failed")}
    further["started and abandoned"] = now.count("abandoned")
    parts += [f"{number} {what}" for what, number in further.items() if number]
    text = f"{now.results}: {', '.join(parts)}"
    if now.oldest and now.newest:
        text += f"; finished from {now.oldest:%Y-%m-%d %H:%M} to {now.newest:%Y-%m-%d %H:%M}"
    return text


def _parts(unit: UnitStatus) -> list[str]:
    """State, key, label, epoch, loss, speed, and time or reason, as far as they are known."""
    parts = [unit.doing, short_key(unit.key), unit.label]
    if unit.epochs:
        parts.append(f"epoch {unit.epoch}/{unit.epochs}")
    if unit.loss is not None:
        parts.append(f"loss {unit.loss:.3f}")
    if unit.samples_per_s:
        parts.append(f"{unit.samples_per_s:.0f} samples/s")
    if unit.reason:
        parts.append(unit.reason)
    elif unit.doing == "running" and unit.seconds_left is not None:
        parts.append(f"ETA {duration(unit.seconds_left)}")
    elif unit.doing == "running" and unit.since is not None:
        parts.append(f"{duration(unit.since)} elapsed")
    return parts


def _lines(now: Status) -> list[str]:
    """Plain lines: the same at every width, for pipes and logs."""
    from ablation.monitor.screen import counts, eta

    studies = [
        f"{study.study}: {study.done}/{study.units} units, {counts(study)}, "
        f"{duration(study.seconds)} elapsed, ETA {eta(study.eta_s)}"
        for study in now.studies
    ]
    units = ["  ".join(_parts(unit)) for unit in now.units]
    return [_head(now), *studies, *units, *([RESUME] if now.count("abandoned") else [])]


def _shown(now: Status, width: int) -> RenderableType:
    """The live views of the studies that run, then failed and abandoned units."""
    from ablation.monitor.screen import head, running_grid, table_grid

    parts: list[RenderableType] = [styled(_head(now), "bold")]
    for study in now.studies:
        parts += ["", *head(study, width)]
        if study.table and (grid := table_grid(study.table, width)) is not None:
            parts += ["", grid]
    if now.running:
        parts += ["", running_grid(now.running, width)]
    rest = [unit for unit in now.units if unit.doing != "running"]
    if rest:
        parts.append("")
    for unit in rest:
        state, *others = _parts(unit)
        parts.append(joined((state, STYLES[unit.doing]), "  ", "  ".join(others)))
    if now.count("abandoned"):
        parts += ["", RESUME]
    return Group(*parts)
