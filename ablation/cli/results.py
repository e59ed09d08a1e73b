"""``status``, ``logs``, ``clean`` and ``merge``: a results directory, seen and kept in order."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ablation.live.screen import counts, eta, head, running_grid, table_grid
from ablation.live.status import Status, UnitStatus, find_unit, follow, status_of
from ablation.store import Store
from ablation.store.housekeeping import REASONS, Item, delete, find
from ablation.store.merging import merge as merge_units
from ablation.text import duration, readable, short_key
from skelcon.errors import UserError

ResultsOption = Annotated[Path, typer.Option(help="The results directory.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

WATCH_SECONDS = 2.0


def status(
    results: ResultsOption = Path("results"),
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every two seconds, until Ctrl-C.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """What is done, running, failed or left, and what the studies that run show, from any shell."""
    store = Store(results)
    if as_json:
        if watch:
            raise UserError("--watch with --json: give one of them")
        typer.echo(json.dumps(status_of(store).to_json(), indent=1))
        return
    console = Console()
    now = status_of(store)
    if watch and console.is_terminal:
        with Live(_shown(now, console.width), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_SECONDS)
                live.update(_shown(status_of(store), console.width), refresh=True)
    _print(console, now)
    before = _lines(now)
    while watch:
        time.sleep(WATCH_SECONDS)
        lines = _lines(status_of(store))
        for line in lines:
            if line not in before:
                typer.echo(line)
        before = lines


def _head(now: Status) -> str:
    parts = [f"{now.done} done", f"{now.count('running')} running"]
    if now.count("waiting"):
        parts.append(f"{now.count('waiting')} about to run")
    if now.count("failed"):
        parts.append(f"{now.count('failed')} failed")
    if now.count("abandoned"):
        parts.append(f"{now.count('abandoned')} started and abandoned")
    text = f"{now.results}: {', '.join(parts)}"
    if now.oldest and now.newest:
        text += f"; finished from {now.oldest:%Y-%m-%d %H:%M} to {now.newest:%Y-%m-%d %H:%M}"
    return text


def _parts(unit: UnitStatus) -> tuple[str, ...]:
    """State, key, label, epoch, loss, speed, time."""
    left = ""
    if unit.doing == "running":
        left = f"{duration(unit.since)} elapsed" if unit.since is not None else ""
        left = f"ETA {duration(unit.seconds_left)}" if unit.seconds_left is not None else left
    return (
        "left" if unit.doing == "abandoned" else unit.doing,
        short_key(unit.key),
        unit.label,
        f"epoch {unit.epoch}/{unit.epochs}" if unit.epochs else "",
        f"loss {unit.loss:.3f}" if unit.loss is not None else "",
        f"{unit.samples_per_s:.0f} samples/s" if unit.samples_per_s else "",
        unit.reason or left,
    )


def _lines(now: Status) -> list[str]:
    """Plain lines: the same at every width, for pipes and logs."""
    studies = [
        f"{study.study}: {study.done}/{study.units} units, {counts(study)}, "
        f"{duration(study.seconds)} elapsed, ETA {eta(study.eta_s)}"
        for study in now.studies
    ]
    units = ["  ".join(filter(None, _parts(unit))) for unit in now.units]
    return [_head(now), *studies, *units]


def _shown(now: Status, width: int) -> RenderableType:
    """What the live views of the studies show, and what is wrong or left."""
    parts: list[RenderableType] = [Text(_head(now), style="bold")]
    for study in now.studies:
        parts += ["", *head(study, width)]
        table = table_grid(study.table, width) if study.table else None
        parts += ["", table] if table is not None else []
    if now.running:
        parts += ["", running_grid(now.running, width)]
    styles = {"waiting": "dim", "failed": "red", "abandoned": "yellow"}
    rest = [unit for unit in now.units if unit.doing != "running"]
    parts += [""] * bool(rest)
    for unit in rest:
        state, *others = filter(None, _parts(unit))
        parts.append(Text.assemble((state, styles[unit.doing]), "  ", "  ".join(others)))
    return Group(*parts)


def _print(console: Console, now: Status) -> None:
    if console.is_terminal:
        console.print(_shown(now, console.width), highlight=False)
    else:
        typer.echo("\n".join(_lines(now)))


def logs(
    key: Annotated[str, typer.Argument(help="A unit's key, or its first digits.")],
    results: ResultsOption = Path("results"),
    following: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Go on until the unit is done or has failed, or Ctrl-C."
        ),
    ] = False,
) -> None:
    """Print a unit's log. Exit code 1 if it is one that has failed."""
    store = Store(results)
    whole = find_unit(store, key)
    if following:
        for text in follow(store, whole):
            typer.echo(text, nl=False)
    else:
        path = store.directory(whole) / "log.txt"
        if not path.exists():
            raise UserError(f"unit '{whole}' has no log yet: '{path}' does not exist")
        typer.echo(path.read_text(errors="replace"), nl=False)
    if store.state(whole) == "failed":
        raise typer.Exit(1)


def clean(
    results: ResultsOption = Path("results"),
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Leave the units that failed, with their logs.")
    ] = False,
    started: Annotated[
        bool,
        typer.Option("--started", help="Delete units that were begun and not finished as well."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete failed units, leftovers and what no study finds.

    Shows what and why, and asks. Finished units that a study can use, and units that a process
    works on, are never deleted, nor anything outside units/.
    """
    store = Store(results)
    if not store.units.is_dir():
        raise UserError(f"'{results}' holds no units: give a results directory (--results)")
    items, busy = find(store, keep_failed, started)
    if not as_json:
        _print_items(items, [path.name for path in busy])
    gone: list[Item] = []
    left: list[Item] = []
    if items and not yes and not as_json and sys.stdin.isatty():
        yes = typer.confirm("Delete this?")
    if items and yes:
        gone, left = delete(store, items)
    if as_json:
        document = {
            "items": [
                {"reason": i.reason, "path": str(i.path), "bytes": i.size, "deleted": i in gone}
                for i in items
            ],
            "bytes": sum(item.size for item in items),
            "deleted_bytes": sum(item.size for item in gone),
            "busy": [path.name for path in busy],
        }
        typer.echo(json.dumps(document, indent=1))
    elif items and not yes:
        typer.echo("Nothing was deleted (--yes deletes without asking).")
    elif items:
        typer.echo(f"Deleted {len(gone)}, {readable(sum(item.size for item in gone))}.")
    for item in left:
        typer.echo(f"left '{item.path}': it is in use or has changed", err=True)


def _print_items(items: list[Item], busy: list[str]) -> None:
    for reason, why in REASONS.items():
        members = [item for item in items if item.reason == reason]
        if members:
            size = readable(sum(item.size for item in members))
            typer.echo(f"{reason}: {len(members)}, {size} ({why})")
            for item in members:
                typer.echo(f"  {item.path}  {readable(item.size)}")
    if busy:
        typer.echo(f"left alone, as a process works on them: {', '.join(busy)}")
    total = readable(sum(item.size for item in items))
    typer.echo(f"{len(items)} to delete, {total}." if items else "Nothing to delete.")


def merge(
    directories: Annotated[
        list[Path], typer.Argument(help="Results directories; the first takes the others' units.")
    ],
    into: Annotated[
        Path | None,
        typer.Option(help="The directory that takes them all instead.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy finished units of one results directory into another.

    Exit code 1 if a unit has other numbers in both (the first's are kept) or is damaged.
    """
    target = Store(into or directories[0])
    sources = directories if into else directories[1:]
    if not sources:
        raise UserError("give two results directories at least, or --into")
    wrong = False
    documents = []
    for path in sources:
        merged = merge_units(target, Store(path))
        documents.append({"from": str(path), **asdict(merged)})
        wrong = wrong or bool(merged.conflicts or merged.damaged)
        if as_json:
            continue
        typer.echo(
            f"{path}: {len(merged.copied)} copied to {target.results}, {len(merged.there)} "
            "already there"
        )
        for key in merged.conflicts:
            typer.echo(f"  {key}: other numbers in '{path}'; those of '{target.results}' are kept")
        for key, why in merged.damaged:
            typer.echo(f"  {key}: not copied, {why}")
        for key in merged.busy:
            typer.echo(f"  {key}: not copied, a process works on it in '{target.results}'")
    if as_json:
        typer.echo(json.dumps({"into": str(target.results), "merged": documents}, indent=1))
    if wrong:
        raise typer.Exit(1)
