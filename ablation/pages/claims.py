"""The claims of a table as parts of the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ablation.evidence.claims import Answer, ClaimVerdict, Compared
from ablation.pages.strips import Strip, effect_strip, reach_of
from ablation.report.claims_export import effect, pair_name
from ablation.report.entry import p_text
from ablation.report.table import Table

MARKS: dict[ClaimVerdict, str] = {"holds": "✓", "not shown": "○", "contradicted": "✗"}
"""Verdict -> mark, in the order in which verdicts are counted."""


@dataclass(frozen=True)
class PageComparison:
    """A comparison; ``reason`` says why it has no difference, or what is wrong with it."""

    pair: str
    effect: str
    p: str
    n: str
    strip: Strip | None
    reason: str = ""


@dataclass(frozen=True)
class PageClaim:
    """A claim with its verdict and comparisons.

    Attributes:
        kind: the verdict as a CSS class.
        why: why it is not shown; empty for another verdict.
        weakest: the comparison that decides the verdict.
        others: the differences of all comparisons, as positions on a strip.
    """

    text: str
    source: str
    verdict: ClaimVerdict
    mark: str
    kind: str
    why: str
    p: str
    weakest: PageComparison | None
    comparisons: tuple[PageComparison, ...]
    others: tuple[float, ...]


def claims_of(table: Table) -> tuple[PageClaim, ...]:
    """All claims of a table in its order; their differences are drawn on one scale."""
    reach = reach_of(table.answers)
    return tuple(_claim(table, answer, reach) for answer in table.answers)


def _claim(table: Table, answer: Answer, reach: float) -> PageClaim:
    weakest = answer.weakest
    comparisons = tuple(_comparison(table, each, reach) for each in answer.comparisons)
    return PageClaim(
        text=answer.claim.text,
        source=answer.claim.source or "",
        verdict=answer.verdict,
        mark=MARKS[answer.verdict],
        kind=answer.verdict.replace(" ", "-"),
        why=answer.why,
        p="" if answer.p is None else p_text(answer.p),
        weakest=None if weakest is None else _comparison(table, weakest, reach),
        comparisons=comparisons,
        others=tuple(each.strip.point for each in comparisons if each.strip is not None),
    )


def _comparison(table: Table, each: Compared, reach: float) -> PageComparison:
    found = each.difference
    n = "" if found is None else str(found.seeds)
    return PageComparison(
        pair_name(table, each),
        effect(each),
        p_text(each.p),
        n,
        effect_strip(found, reach),
        each.reason or ("" if each.same_steps else "not pre-trained for the same number of steps"),
    )


def counted(verdicts: Sequence[ClaimVerdict]) -> dict[ClaimVerdict, int]:
    """Verdict -> how many there are; 0 if none."""
    counts = Counter(verdicts)
    return {verdict: counts[verdict] for verdict in MARKS}
