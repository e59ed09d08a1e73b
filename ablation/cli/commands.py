"""What the commands do: open the data, plan, run what is missing, print and export."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from ablation import tables
from ablation.cost import check_disk
from ablation.cost.gpus import settled
from ablation.cost.view import Costing, show_plan
from ablation.live.audience import Audience, audience
from ablation.missing import missing_units, run_missing
from ablation.plan import EvaluateOn, Plan, make_plan
from ablation.runner.resources import Resources
from ablation.store import Store, uri_of
from ablation.study import Study
from ablation.tables import display, export
from ablation.tracking import Tracking
from ablation.tracking.trackers import parse_trackers
from skelcon.cli.console import INTERRUPTED, progress_bar
from skelcon.data import SkeletonDataset, open_or_import, split
from skelcon.data.synthetic import open_embedded
from skelcon.errors import UserError
from skelcon.settings import Settings, merge, parse_assignment, preset_tree

if TYPE_CHECKING:
    from ablation.store.mirror import Mirror


def parse_seeds(text: str) -> tuple[int, ...]:
    """``3`` -> (0, 1, 2); ``0,5,7`` -> (0, 5, 7); ``5,`` -> (5,).

    Raises:
        UserError: for anything else.
    """
    parts = [part.strip() for part in text.removesuffix(",").split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--seeds {text}: give a number of seeds, or a list such as 0,5,7")
    numbers = [int(part) for part in parts]
    if len(parts) == 1 and "," not in text:
        if numbers[0] < 1:
            raise UserError(f"--seeds {text}: at least one seed is needed")
        return tuple(range(numbers[0]))
    if len(set(numbers)) != len(numbers):
        raise UserError(f"--seeds {text}: a seed is named twice")
    return tuple(numbers)


def open_data(
    path: Path | None, console: Console, embedded: Callable[[], SkeletonDataset] = open_embedded
) -> SkeletonDataset:
    """The embedded data, a packed data set, or an import of anything known; says what it skips."""
    if path is None:
        return embedded()
    with progress_bar(console, "reading the data") as progress:
        dataset, skipped = open_or_import(path, progress)
    if skipped:
        console.print(
            f"warning: {len(skipped)} bad files left out of '{path}'; the first, "
            f"{skipped[0].name}: {skipped[0].reason}",
            highlight=False,
            soft_wrap=True,
        )
    return dataset


def open_source(study: Study, path: Path | None, console: Console) -> SkeletonDataset | None:
    """The data that a transfer pre-trains on: ``--source``, or embedded data of other subjects."""
    if not study.transfer:
        if path is not None:
            raise UserError(f"--source {path}: study '{study.name}' transfers nothing")
        return None
    return open_data(path, console, lambda: open_embedded(seed=1))


def overrides_of(assignments: list[str] | None, used: tuple[str, ...]) -> dict[str, Any]:
    """What ``--set`` asks; UserError for a setting that nothing would use."""
    overrides: dict[str, Any] = {}
    merge(overrides, dict(parse_assignment(text) for text in assignments or []))
    for name in overrides:
        if name in Settings.model_fields and name not in used:
            raise UserError(f"--set {name}...: not used here, only {' and '.join(used)}")
    return overrides


def plan_study(
    study: Study,
    dataset: SkeletonDataset,
    source: SkeletonDataset | None = None,
    *,
    preset: str | None,
    seeds: str,
    protocol: str | None,
    assignments: list[str] | None,
    only: str | None,
    evaluate_on: str,
) -> Plan:
    """The plan that the options ask for; :class:`UserError` for any that is wrong."""
    on: dict[str, EvaluateOn] = {"test": "test", "validation": "validation"}
    if evaluate_on not in on:
        raise UserError(f"--evaluate-on {evaluate_on}: give test or validation")
    scale = preset or ("quick" if dataset.synthetic else "small")
    overrides = overrides_of(assignments, ("pretrain", study.task))
    if only:
        study = study.only(tuple(name.strip() for name in only.split(",")))
    plan = make_plan(
        study,
        dataset,
        preset=scale,
        preset_tree=preset_tree(scale),
        seeds=parse_seeds(seeds),
        protocol=protocol,
        evaluate_on=on[evaluate_on],
        overrides=overrides,
        source=source,
    )
    for unit in plan.units.values():
        if unit.kind == "pretrain":
            trained = plan.source or dataset
            clips = len(split(trained, unit.config["protocol"], unit.config["train"]))
            if clips < unit.config["config"]["batch"]:
                raise UserError(
                    f"pretrain.batch {unit.config['config']['batch']} is larger than the {clips} "
                    f"training clips of '{trained.name}', {unit.config['protocol']}"
                )
    return plan


def run_study(
    study: Study,
    *,
    plan_only: bool,
    as_json: bool,
    verbose: bool,
    formats: str,
    probe: int | None,
    track: str,
    resources: dict[str, Any],
    **options: Any,
) -> None:
    """Plan, run what is missing, aggregate, print and export. Raises ``typer.Exit(1 or 130)``."""
    with audience(
        as_json=as_json, verbose=verbose, events=not plan_only, study=study.name
    ) as seen_by:
        asked, chosen, trackers = check_options(
            plan_only=plan_only, formats=formats, probe=probe, track=track, resources=resources
        )
        if plan_only:
            _show_plan(study, asked, seen_by.console, as_json, probe, **options)
        else:
            _run_study(study, asked, seen_by, chosen, trackers, as_json, **options)


def check_options(
    *,
    plan_only: bool,
    formats: str,
    probe: int | None,
    track: str,
    resources: dict[str, Any],
    **others: Any,
) -> tuple[Resources, tuple[str, ...], tuple[str, ...]]:
    """What a trial may take, the files to write and the trackers; UserError for any that is wrong.

    Of :func:`run_study`'s options those of the study and its data are not looked at.
    """
    chosen, trackers = export.parse_formats(formats), parse_trackers(track)
    asked = Resources(**resources)
    asked.check()
    if probe is not None and not plan_only:
        raise UserError(f"--probe {probe}: measures for a plan, give --plan as well")
    return asked, chosen, trackers


def _planned(
    study: Study,
    console: Console,
    *,
    results: Path,
    data: Path | None,
    source: Path | None,
    **choices: Any,
) -> tuple[Plan, Store, Mirror | None]:
    """The plan, where its results are, and the mirror of these if they are kept at a URI."""
    mirror = open_mirror(results)
    dataset = open_data(data, console)
    plan = plan_study(study, dataset, open_source(study, source, console), **choices)
    if mirror:
        mirror.fetch(plan.units)
    return plan, mirror.store if mirror else Store(results), mirror


def _show_plan(
    study: Study,
    asked: Resources,
    console: Console,
    as_json: bool,
    probe: int | None,
    *,
    yes: bool,
    **choices: Any,
) -> None:
    plan, store, _ = _planned(study, console, **choices)
    missing = missing_units(plan.units, store, console, mend=False)
    asked = settled(asked, store, [plan], missing, console.print)
    costing = Costing.of(store, [plan], asked, ask_cluster=True)
    show_plan(console, [(plan, missing)], as_json, costing, probe)


def _run_study(
    study: Study,
    asked: Resources,
    seen_by: Audience,
    formats: tuple[str, ...],
    trackers: tuple[str, ...],
    as_json: bool,
    *,
    yes: bool,
    **choices: Any,
) -> None:
    console = seen_by.console
    plan, store, mirror = _planned(study, console, **choices)
    results = store.results
    if mirror:
        asked = replace(asked, mirror=mirror.uri)
        mirror.fetch_records(study.name)
    missing = missing_units(plan.units, store, console, mend=True)
    asked = settled(asked, store, [plan], missing, console.print)
    cost = None
    if missing:
        cost = Costing.of(store, [plan], asked).cost(missing)
        check_disk(results, cost)
    store.check_writable()
    seen_by.begin(plan, missing, cost)
    interrupted = False
    with Tracking(plan, store, results / study.name, trackers, console) as tracking:
        if cost is not None:
            confirm_cpu(plan.preset, asked, yes)
            interrupted = not run_missing(plan, missing, store, asked, seen_by, cost, tracking)
        # Trackers may take their time: nobody waits for the table until they are told all.
        failed = show(console, plan, store, results, formats, as_json)
    if mirror:
        mirror.push_all(plan.units, plan.study.name)
        console.print(f"Kept at {mirror.uri}", highlight=False, soft_wrap=True)
    if interrupted:
        console.print("Interrupted. The same command goes on from here.")
        raise typer.Exit(INTERRUPTED)
    if failed:
        raise typer.Exit(1)


def open_mirror(results: Path) -> Mirror | None:
    """Where results are kept at a URI, if ``results`` is one."""
    uri = uri_of(results)
    if uri is None:
        return None
    from ablation.store.mirror import mirror_at  # pyarrow takes its time

    return mirror_at(uri)


def show(
    console: Console,
    plan: Plan,
    store: Store,
    results: Path,
    formats: tuple[str, ...],
    as_json: bool,
) -> bool:
    """Aggregate, print and export; whether a cell has failed."""
    frame = tables.cells_frame(plan, store)
    table = tables.make_table(plan, frame)
    provenance = [store.provenance(key) for key in plan.units if store.is_done(key)]
    if not as_json:
        display.print_table(console, table)
    earlier = export.caption_in(results / plan.study.name)
    if earlier is not None and not as_json and not same_question(earlier, table.caption):
        console.print(f"Replaces an earlier table: {earlier}", style="yellow", highlight=False)
    try:
        written = export.export(table, frame, provenance, results / plan.study.name, formats)
    except OSError as error:
        raise UserError(f"cannot write '{error.filename}': {error.strerror}") from None
    if as_json:
        typer.echo(export.to_json(table, provenance))
    else:
        names = ", ".join(path.name for path in written)
        console.print(
            f"Written to {results / plan.study.name}: {names}", highlight=False, soft_wrap=True
        )
    return bool((frame["state"] == "failed").any())


def same_question(one: str, other: str) -> bool:
    """Whether two captions differ in their seeds at most."""
    before = [re.split(r", (?:n = |no result yet)", caption)[0] for caption in (one, other)]
    return before[0] == before[1]


def confirm_cpu(preset: str, asked: Resources, yes: bool) -> None:
    """The paper's scale without a GPU takes months: ask whoever sits there."""
    if yes or preset != "paper" or asked.gpus_per_trial or not sys.stdin.isatty():
        return
    question = "The paper preset without --gpus-per-trial trains on the CPU. Go on?"
    typer.confirm(question, abort=True, err=True)  # standard output may be a document's
