"""A table's claims as the page tells them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ablation.evidence.claims import Answer, Compared, Verdict
from ablation.pages.strips import Strip, effect_strip, reach_of
from ablation.report.claims_export import effect, pair_name
from ablation.report.entry import p_text
from ablation.report.table import Table

MARKS: dict[Verdict, str] = {"holds": "✓", "not shown": "○", "contradicted": "✗"}
"""Verdicts, in the order in which they are counted, each with its mark."""


@dataclass(frozen=True)
class Told:
    """A comparison; ``reason`` says why it has no difference."""

    pair: str
    effect: str
    p: str
    n: str
    strip: Strip | None
    reason: str = ""


@dataclass(frozen=True)
class ToldClaim:
    """A claim with its verdict, what that hangs on, and all that is compared.

    Attributes:
        others: where the differences of all comparisons are, on the scale of a strip.
    """

    text: str
    source: str
    verdict: Verdict
    mark: str
    kind: str
    why: str
    p: str
    weakest: Told | None
    comparisons: tuple[Told, ...]
    others: tuple[float, ...]


def told_claims(table: Table) -> tuple[ToldClaim, ...]:
    """All claims of a table, in its order; their effects are drawn on one scale."""
    reach = reach_of(table.answers)
    return tuple(_told(table, answer, reach) for answer in table.answers)


def _told(table: Table, answer: Answer, reach: float) -> ToldClaim:
    weakest = answer.weakest
    comparisons = tuple(_comparison(table, each, reach) for each in answer.comparisons)
    return ToldClaim(
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


def _comparison(table: Table, each: Compared, reach: float) -> Told:
    found = each.difference
    n = "" if found is None else str(found.seeds)
    return Told(
        pair_name(table, each),
        effect(each),
        p_text(each.p),
        n,
        effect_strip(found, reach),
        each.reason or ("" if each.same_steps else "not pre-trained for the same number of steps"),
    )


def counted(verdicts: Sequence[Verdict]) -> dict[Verdict, int]:
    """How many there are of each verdict, none left out."""
    counts = Counter(verdicts)
    return {verdict: counts[verdict] for verdict in MARKS}
