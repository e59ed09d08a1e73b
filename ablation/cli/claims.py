"""``claims``: what a study's YAML claims of its table, and whether the results show it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table as Grid

from ablation.cli.options import JsonOption, ResultsOption, TableArgument
from ablation.cli.studies import table_name
from ablation.text import plural
from skelcon.cli.terminal import PlainConsole, joined, styled
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.evidence.claims import Answer
    from ablation.report.table import Table
    from ablation.study import Study

STYLES = {"holds": "green", "not shown": "dim", "contradicted": "red"}
MARKS = {"holds": "✓", "not shown": "·", "contradicted": "✗"}


def claims(
    study: TableArgument,
    results: ResultsOption = Path("results"),
    every: Annotated[
        bool,
        typer.Option("--all", help="Print every comparison of each claim, not only the weakest."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Test the claims about a study's table: holds, not shown or contradicted.

    Reads the results only; needs no data, runs nothing. Exit code 0 if all claims
    hold, 1 if not.
    """
    from ablation.report import cells_frame, make_table
    from ablation.report.claims_export import to_json
    from ablation.report.from_results import load_plan
    from ablation.store import Store

    store = Store(results)
    name = table_name(study)
    plan = load_plan(store.results, name)
    table = make_table(plan, cells_frame(plan, store), store)
    if not table.answers and plan.shown is not None:
        raise UserError(
            f"table '{name}' shows {plan.shown}: claims are about the study's own metric"
        )
    if not table.answers:
        raise UserError(_why_no_claim(plan.study))
    if as_json:
        typer.echo(
            json.dumps({"caption": table.caption, "claims": to_json(table.answers)}, indent=1)
        )
    else:
        print_claims(PlainConsole(), table, every)
    if any(answer.verdict != "holds" for answer in table.answers):
        raise typer.Exit(1)


def _why_no_claim(study: Study) -> str:
    """Why there is no claim about a table with the rows of ``study``."""
    from ablation.study import whole_study

    whole = whole_study(study)
    claims = [claim for claim in whole.claims if claim.along_rows]
    named = {name for claim in claims for name in claim.names}
    missing = [row for row in whole.all_rows if row in named and row not in study.all_rows]
    if not missing:
        return (
            f"study '{study.name}' makes no claim about the rows of this table: add one under "
            "claims: in its file"
        )
    return (
        f"study '{study.name}' has {plural(len(claims), 'claim')} about rows that this table "
        f"lacks ({', '.join(missing)}): run these rows"
    )


def print_claims(console: Console, table: Table, every: bool) -> None:
    """Each claim with its verdict, and its weakest comparison, or all of them."""
    from ablation.evidence.claims import in_short
    from ablation.report.claims_export import EXPLAINED

    console.print(styled(table.caption, "bold"))
    for number, answer in enumerate(table.answers, 1):
        source = f"  ({answer.claim.source})" if answer.claim.source else ""
        verdict = f"   {MARKS[answer.verdict]} {answer.verdict}", STYLES[answer.verdict]
        console.print()
        console.print(joined((f"{number}. {answer.claim.text}", "bold"), (source, "dim")))
        console.print(joined(verdict, (f"  {answer.why}" if answer.why else "", "dim")))
        console.print(_comparisons(table, answer, every))
    console.print(styled(f"\n{in_short(table.answers)}.", "bold"))
    console.print(styled(EXPLAINED, "dim"))


def _comparisons(table: Table, answer: Answer, every: bool) -> RenderableType:
    from ablation.report.claims_export import effect, pair_name
    from ablation.report.entry import p_text

    weakest = answer.weakest
    shown = answer.comparisons if every else [weakest] if weakest is not None else []
    grid = Grid.grid(padding=(0, 2))
    for each in shown:
        n = f"n = {each.difference.seeds}" if each.difference is not None else each.reason
        found = (pair_name(table, each), effect(each), f"p {p_text(each.p)}", n)
        grid.add_row("  ", *map(styled, found))
    corrected = styled(f"     p of the claim {p_text(answer.p)}", "dim")
    return Group(grid, corrected) if answer.p is not None else grid
