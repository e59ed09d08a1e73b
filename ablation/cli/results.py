"""``logs``, ``clean`` and ``merge``: what is in a results directory."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablation.cli.options import JsonOption, ResultsOption, YesOption
from ablation.text import readable, short_key
from skelcon.cli.terminal import echo
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.store.housekeeping import Item
    from ablation.store.merging import Merged

KEY = "A unit's key, or the first digits of it."
FOLLOW = "Continue until the unit is done or has failed, or until Ctrl-C."
INTO = "Copy the units of all directories into this one instead."


def complete_key(context: typer.Context, incomplete: str) -> list[str]:
    """The keys of units that start with ``incomplete``."""
    units = Path(context.params.get("results") or "results") / "units"
    return sorted(short_key(path.name) for path in units.glob(f"{incomplete}[0-9a-f]*"))


def logs(
    key: Annotated[str, typer.Argument(metavar="KEY", help=KEY, autocompletion=complete_key)],
    results: ResultsOption = Path("results"),
    following: Annotated[bool, typer.Option("--follow", "-f", help=FOLLOW)] = False,
) -> None:
    """Print a unit's log. Exit code 1 if the unit has failed."""
    from ablation.monitor.status import find_unit, follow
    from ablation.store import Store
    from ablation.store.unit_files import LOG

    store = Store(results)
    whole = find_unit(store, key)
    if following:
        for text in follow(store, whole):
            typer.echo(text, nl=False)
    else:
        path = store.directory(whole) / LOG
        if not path.exists():
            raise UserError(f"unit '{whole}' has no log yet: '{path}' does not exist")
        typer.echo(path.read_text(encoding="utf-8", errors="replace"), nl=False)
    if store.state(whole) == "failed":
        raise typer.Exit(1)


def clean(
    results: ResultsOption = Path("results"),
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Keep failed units, with their logs.")
    ] = False,
    started: Annotated[
        bool,
        typer.Option("--started", help="Also delete units that were started but not finished."),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete failed units, leftovers, and units that no study needs; asks first.

    Never deletes finished units that a study needs, units that a process works
    on, or anything outside units/.
    """
    from ablation.store import Store
    from ablation.store.housekeeping import delete, find

    store = Store(results)
    if not store.units.is_dir():
        raise UserError(f"'{results}' holds no units: give a results directory (--results)")
    items, busy_paths = find(store, keep_failed, started)
    busy = [path.name for path in busy_paths]
    if not as_json:
        _print_items(items, busy)
    if items and not yes and not as_json and sys.stdin.isatty():
        yes = typer.confirm("Delete this?")
    gone, left = delete(store, items if yes else [])
    if as_json:
        shown = [
            {"reason": i.reason, "path": str(i.path), "bytes": i.size, "deleted": i in gone}
            for i in items
        ]
        document = {"items": shown, "bytes": _bytes(items), "deleted_bytes": _bytes(gone)}
        typer.echo(json.dumps(document | {"busy": busy}, indent=1))
    elif items and not yes:
        typer.echo("Nothing was deleted (--yes deletes without asking).")
    elif items:
        echo(f"Deleted {len(gone)}, {readable(_bytes(gone))}.")
    for item in left:
        echo(f"kept '{item.path}': it is in use or has changed", err=True)


def _bytes(items: Sequence[Item]) -> int:
    return sum(item.size for item in items)


def _print_items(items: Sequence[Item], busy: Sequence[str]) -> None:
    from ablation.store.housekeeping import REASONS

    for reason, why in REASONS.items():
        members = [item for item in items if item.reason == reason]
        if members:
            echo(f"{reason}: {len(members)}, {readable(_bytes(members))} ({why})")
        for item in members:
            echo(f"  {item.path}  {readable(item.size)}")
    if busy:
        echo(f"kept, as a process works on them: {', '.join(busy)}")
    total = readable(_bytes(items))
    echo(f"{len(items)} to delete, {total}." if items else "Nothing to delete.")


def merge(
    directories: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR", help="Results directories; units are copied into the first one."
        ),
    ],
    into: Annotated[Path | None, typer.Option(file_okay=False, help=INTO)] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the finished units of results directories into another one.

    Exit code 1 if a unit is damaged, or has different numbers in two directories
    (then the numbers of the target are kept).
    """
    from ablation.report.from_results import merge_studies
    from ablation.store import Store
    from ablation.store.merging import merge as merge_units

    target = Store(into or directories[0])
    sources = directories if into else directories[1:]
    if not sources:
        raise UserError("give at least two results directories, or --into")
    wrong = False
    documents = []
    for path in sources:
        merged = merge_units(target, Store(path))
        merge_studies(target.results, path)
        documents.append({"from": str(path), **asdict(merged)})
        wrong = wrong or bool(merged.conflicts or merged.damaged)
        if not as_json:
            _print_merged(merged, path, target.results)
    if as_json:
        typer.echo(json.dumps({"into": str(target.results), "merged": documents}, indent=1))
    if wrong:
        raise typer.Exit(1)


def _print_merged(merged: Merged, source: Path, target: Path) -> None:
    copied, there = len(merged.copied), len(merged.there)
    echo(f"{source}: {copied} copied to {target}, {there} already there")
    kept = f"'{source}' has different numbers; the numbers of '{target}' are kept"
    notes = [(key, kept) for key in merged.conflicts]
    notes += [(key, f"not copied, {why}") for key, why in merged.damaged]
    notes += [(key, f"not copied, a process works on it in '{target}'") for key in merged.busy]
    for key, note in notes:
        echo(f"  {short_key(key)}: {note}")
