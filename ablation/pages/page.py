"""The contents of the page as plain values: a summary, and a section for each table."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.evidence.claims import ClaimVerdict
from ablation.figures import Asked
from ablation.pages.claims import PageClaim, claims_of, counted
from ablation.pages.costs import Missing, Spent, missing, spent
from ablation.pages.drawn import Drawn, drawn_of
from ablation.pages.facts import origin_of
from ablation.pages.grid import Grid, grid_of
from ablation.plan import Plan
from ablation.provenance.configurations import Facts
from ablation.provenance.reproducing import Commands
from ablation.report.from_results import load_plan
from ablation.report.notes import SYNTHETIC
from ablation.report.questions import table_names, why_none
from ablation.store import Store
from ablation.store.unit_files import PROVENANCE
from ablation.text import and_joined, plural
from ablation.units import Unit
from skelcon.errors import UserError


@dataclass(frozen=True)
class Section:
    """A table with its claims, figures, costs and provenance.

    Attributes:
        anchor: its id on the page.
        name: the name of its directory.
        title: of the study, with ``name`` in parentheses if other tables have the same title.
        about: short facts below the title.
        numbers: how many cells have a number, and how many are applicable.
        verdicts: verdict -> number of claims.
        left_out: (name, reason) of figures that are not drawn.
        spent: costs by kind of unit.
        missing: cells without a number, by reason.
        origin: where the numbers come from.
        commands: (what it does, command line).
    """

    anchor: str
    name: str
    title: str
    about: tuple[str, ...]
    numbers: tuple[int, int]
    grid: Grid
    claims: tuple[PageClaim, ...]
    verdicts: dict[ClaimVerdict, int]
    figures: tuple[Drawn, ...]
    left_out: tuple[tuple[str, str], ...]
    spent: tuple[Spent, ...]
    missing: tuple[Missing, ...]
    origin: Facts
    commands: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Page:
    """The whole page.

    Attributes:
        sentences: a summary.
        verdicts: verdict -> number of claims in all tables.
        spent: costs of all tables by kind of unit; units that they share count once.
        damaged: (name, reason) of tables that cannot be read.
    """

    title: str
    sentences: tuple[str, ...]
    verdicts: dict[ClaimVerdict, int]
    sections: tuple[Section, ...]
    spent: tuple[Spent, ...]
    damaged: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Results:
    """The tables of a results directory, and (name, reason) of those that cannot be read."""

    tables: dict[str, Asked]
    damaged: tuple[tuple[str, str], ...] = ()


def read_results(results: Path, names: Sequence[str] = ()) -> Results:
    """The tables with the given names, or all.

    Raises:
        UserError: for a name that is unknown or damaged, or if there is no table at all.
    """
    store = Store(results)
    found, damaged = dict[str, Asked](), list[tuple[str, str]]()
    for name in dict.fromkeys(names) or table_names(results):
        try:
            found[name] = Asked(load_plan(results, name), store)
        except UserError as error:
            if names:
                raise
            damaged.append((name, str(error)))
    if not found:
        raise UserError(damaged[0][1] if damaged else why_none(results))
    return Results(found, tuple(damaged))


def make_page(
    results: Results, *, figures: bool = True, show: Callable[[str], None] = lambda text: None
) -> Page:
    """The page of some tables; without ``figures`` it is made much faster.

    ``show`` is called with what is done next, such as ``augmentations: drawing ranks``.
    """
    anchors, titles = _anchors(results.tables), _titles(results.tables)
    sections = tuple(
        _section(name, anchors[name], titles[name], asked, figures, show)
        for name, asked in results.tables.items()
    )
    plans = [asked.plan for asked in results.tables.values()]
    store = next(iter(results.tables.values())).store
    units: dict[str, Unit] = {}
    for plan in plans:
        units |= plan.units
    every = spent(units, store)
    verdicts = counted([claim.verdict for section in sections for claim in section.claims])
    data = dict.fromkeys(_data_name(plan) for plan in plans)
    return Page(
        title=f"Ablations on {and_joined([*data])}",
        sentences=tuple(_sentences(sections, plans, verdicts, every[-1])),
        verdicts=verdicts,
        sections=sections,
        spent=every,
        damaged=results.damaged,
    )


def _data_name(plan: Plan) -> str:
    return "synthetic data" if plan.dataset.synthetic else plan.dataset.name


def _anchors(names: Iterable[str]) -> dict[str, str]:
    """Name -> unique id on the page."""
    found: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        anchor = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "table"
        taken = anchor in found.values() or not anchor[0].isalpha()
        found[name] = f"table-{number}-{anchor}" if taken else anchor
    return {name: f"t-{anchor}" for name, anchor in found.items()}


def _titles(tables: Mapping[str, Asked]) -> dict[str, str]:
    """Name -> title on the page, unique as a heading."""
    titles = {name: asked.plan.study.title for name, asked in tables.items()}
    count = Counter(titles.values())
    return {
        name: title if count[title] == 1 else f"{title} ({name})" for name, title in titles.items()
    }


def _section(
    name: str, anchor: str, title: str, asked: Asked, figures: bool, show: Callable[[str], None]
) -> Section:
    show(f"{name}: reading results")
    plan, table = asked.plan, asked.table

    def show_figure(figure: str) -> None:
        show(f"{name}: drawing {figure}")

    drawn, left_out = drawn_of(asked, show_figure) if figures else ((), ())
    claims = claims_of(table)
    known = [entry for entry in table.entries.values() if entry.mean is not None]
    never = sum(e.reason.startswith("not applicable") for e in table.entries.values())
    return Section(
        anchor=anchor,
        name=name,
        title=title,
        about=tuple(_about(plan)),
        numbers=(len(known), len(table.entries) - never),
        grid=grid_of(asked, name, anchor),
        claims=claims,
        verdicts=counted([claim.verdict for claim in claims]),
        figures=drawn,
        left_out=left_out,
        spent=spent(plan.units, asked.store),
        missing=missing(asked),
        origin=origin_of(name, plan, asked.store),
        commands=tuple(_commands(name, asked)),
    )


def _about(plan: Plan) -> list[str]:
    """Short facts below a title."""
    facts = [f"like {plan.study.reproduces} of the paper"] if plan.study.reproduces else []
    data = plan.dataset.name
    if plan.source is not None:
        data = f"{plan.source.name} to {data}"
    facts += [data, plan.protocol]
    facts += ["cross-validation"] if plan.evaluate_on == "validation" else []
    facts += [f"{plan.preset} preset", plural(len(plan.seeds), "seed")]
    return [*facts, "changed by --set"] if plan.overrides else facts


def _commands(name: str, asked: Asked) -> list[tuple[str, str]]:
    quoted, store = shlex.quote(name), asked.store
    known = (store.files(key).read_or_none(PROVENANCE) for key in asked.plan.units)
    again = Commands(asked.plan, name).of(None, [each for each in known if each is not None])
    return [
        (" ".join(("To reproduce this table.", *again.remarks)), again.line),
        ("As LaTeX, CSV and Markdown", f"skelcon-ablate table {quoted}"),
        (
            "Its figures as files, including those that need the data",
            f"skelcon-ablate figures {quoted} --data PATH",
        ),
    ]


def _sentences(
    sections: Sequence[Section],
    plans: Sequence[Plan],
    verdicts: dict[ClaimVerdict, int],
    every: Spent,
) -> list[str]:
    presets = and_joined([*dict.fromkeys(f"{plan.preset} preset" for plan in plans)])
    seeds = sorted({len(plan.seeds) for plan in plans})
    per_number = f"{seeds[0]} to {plural(seeds[-1], 'seed')}"
    per_number = plural(seeds[0], "seed") if len(seeds) == 1 else per_number
    found = [f"{plural(len(sections), 'table')}, {presets}, {per_number} per number."]
    if any(plan.synthetic for plan in plans):
        found.append(SYNTHETIC)
    claims = sum(verdicts.values())
    if claims:
        counts = [f"{verdicts['holds']} hold" if verdicts["holds"] != 1 else "1 holds"]
        counts.append(f"{verdicts['not shown']} not shown")
        counts.append(f"{verdicts['contradicted']} contradicted")
        found.append(f"Of {plural(claims, 'claim')} {', '.join(counts)}.")
    numbers = [sum(section.numbers[i] for section in sections) for i in (0, 1)]
    took = f" in {every.total} of compute time" if every.total else ""
    found.append(
        f"{numbers[0]} of {plural(numbers[1], 'number')} known, from {every.done} of "
        f"{plural(every.units, 'unit')}{took}."
    )
    return found
