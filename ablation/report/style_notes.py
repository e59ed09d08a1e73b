"""Notes on how a table is printed: what is bold, and where the paper's values are."""

from __future__ import annotations

from collections.abc import Iterable

from ablation.plan import Plan
from ablation.report.entry import Entry
from ablation.report.style import Reference, TableStyle


def note_on_looks(entries: Iterable[Entry]) -> list[str]:
    """What bold and underlined numbers are, if there are any."""
    known = list(entries)
    if not any(each.best for each in known):
        return []
    second = any(each.second and not each.best for each in known)
    return [
        "Bold: the best of each column and all rows that are not significantly worse (one-sided, "
        f"5 %, Holm's correction){'; underlined: the second best' if second else ''}."
    ]


def notes_on_the_paper(
    plan: Plan, style: TableStyle, reference: Reference, *, reported: bool
) -> list[str]:
    """Where the paper's values are, and whether they can be compared with ours.

    Args:
        plan: the table.
        style: as the user asked for.
        reference: where the values are printed.
        reported: whether rows of other methods are in the table.
    """
    report = plan.report
    if report is None or plan.synthetic:
        return []
    unlike = "" if plan.like_the_paper else "of another data set, protocol or scale"
    if reference == "hide":
        if style.reference is not None:
            return []
        return [
            f"The paper's values ({report.source}) are {unlike}: they are in table.csv only "
            "(--reference show and own-column print them)."
        ]
    how = (
        "In parentheses without a sign:" if reference == "show" else "In the columns headed paper:"
    )
    warning = f": {unlike}, so compare the order and not the numbers" if unlike else ""
    notes = [f"{how} the paper's value ({report.source}){warning}."]
    if reported:
        notes.append(
            "Rows marked (reported) are other methods' as the paper reports them "
            f"({report.source}); none of them was run here."
        )
    return notes


def note_on_delta(label: str) -> str:
    """What the differences to the row called ``label`` are."""
    return (
        f"In parentheses with a sign: the paired difference to {label} with its 95 % interval, "
        "not corrected for the number of comparisons."
    )
