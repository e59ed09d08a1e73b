"""Claims and their verdicts in words, as a frame, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ablation import doors
from ablation.evidence.claims import Answer, Compared, in_short
from ablation.report.entry import difference, p_text
from ablation.report.table import Table

_OF_CLAIM = ("claim", "text", "source", "verdict", "p_claim", "further_seeds")
_OF_COMPARISON: tuple[str, ...] = ("higher", "lower", "difference", "low", "high", "p")
_OF_COMPARISON += ("seeds", "groups", "same_steps", "reason")
COLUMNS = (*_OF_CLAIM, *_OF_COMPARISON)


def cell_name(table: Table, cell: tuple[str, str]) -> str:
    """``crop+pose (SEQ)``."""
    row, column = cell
    label, report = row, table.plan.report
    if row in table.study.all_rows:
        label = table.label(row)
    elif report is not None:  # beside synthetic data the table itself has no reported rows
        label = report.others[row].label
    return f"{label} ({table.column_label(column)})"


def pair_name(table: Table, each: Compared) -> str:
    """``crop vs. none (SEQ)``, or of two columns ``inter vs. intra (IMG)``."""
    if each.higher[1] == each.lower[1]:
        higher = cell_name(table, each.higher).removesuffix(
            f" ({table.column_label(each.lower[1])})"
        )
        return f"{higher} vs. {cell_name(table, each.lower)}"
    label, columns = table.label(each.higher[0]), (each.higher[1], each.lower[1])
    return f"{' vs. '.join(map(table.column_label, columns))} ({label})"


def effect(each: Compared) -> str:
    """``+3.1 [0.4, 5.8]``, in percentage points; empty if there is no difference."""
    return "" if each.difference is None else difference(each.difference)


def frame_of(answers: Sequence[Answer]) -> pd.DataFrame:
    """One line per comparison; the columns are :data:`COLUMNS`, differences in percent points."""
    lines = []
    for number, answer in enumerate(answers, 1):
        claim = answer.claim
        own = (number, claim.text, claim.source or "", answer.verdict, answer.p)
        for each in answer.comparisons:
            lines.append((*own, answer.further_seeds, *_values(each)))
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(("seeds", "groups", "further_seeds"), "Int64"))


def _values(each: Compared) -> tuple[Any, ...]:
    """The values of a comparison for :data:`COLUMNS`."""
    pair = "/".join(each.higher), "/".join(each.lower)
    found = each.difference
    if found is None:
        return (*pair, *[None] * 6, each.same_steps, each.reason)
    within = [100 * end for end in found.interval] if found.interval else [None, None]
    points = 100 * found.value, *within
    return (*pair, *points, each.p, found.seeds, found.groups, each.same_steps, "")


def to_markdown(table: Table) -> str:
    """The claims of a table, each with its weakest comparison, which decides the verdict."""
    title = f"{doors.to_markdown(table.study.title)}: claims. {in_short(table.answers)}."
    heads = ["claim", "verdict", "weakest comparison", "difference [95 %]", "p", "n", "note"]
    rows = []
    for answer in table.answers:
        source = f" ({answer.claim.source})" if answer.claim.source else ""
        cells = [answer.claim.text + source, answer.verdict, *weakest_texts(table, answer)]
        rows.append([doors.to_markdown(cell) for cell in cells])
    return "\n".join([title, "", *doors.markdown_table(heads, "lllrrrl", rows), "", EXPLAINED, ""])


EXPLAINED = (
    "Differences are paired, seed by seed and clip by clip, in percentage points, with 95 % "
    "intervals over seeds, test groups and clips. A claim holds if all of its differences are "
    "significant at 5 %, and is contradicted if one of opposite sign is; p is corrected by Holm "
    "over the claims of the table. n: seeds."
)


def weakest_texts(table: Table, answer: Answer) -> list[str]:
    """Weakest comparison, its difference, the claim's p, n, and why it is not shown."""
    weakest = answer.weakest
    if weakest is None or weakest.difference is None:
        return ["", "", "-", "-", answer.why]
    name, n = pair_name(table, weakest), str(weakest.difference.seeds)
    return [name, effect(weakest), p_text(answer.p), n, answer.why]


def to_json(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Plain values; differences in percentage points."""
    found = []
    for number, answer in enumerate(answers, 1):
        claim = answer.claim
        own = (number, claim.text, claim.source, answer.verdict, answer.p, answer.further_seeds)
        comparisons = [
            dict(zip(_OF_COMPARISON, _values(each), strict=True)) for each in answer.comparisons
        ]
        values = dict(zip(_OF_CLAIM, own, strict=True))
        found.append({**values, "why": answer.why, "comparisons": comparisons})
    return found
