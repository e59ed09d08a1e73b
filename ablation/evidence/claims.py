"""The verdict on each claim about a table: holds, not shown or contradicted.

A claim is a list of comparisons of two cells, each with the paired difference, its interval and its
p value (`ablation.statistics`). It *holds* if all differences have the claimed sign and a p value
below 5 %. As all of them must, the p value of the claim is the largest one, without a correction
within the claim (an intersection-union test, Berger 1982). It is *contradicted* if a difference has
the opposite sign and a p value below 5 % after Holm's correction over the comparisons of the claim.
Both p values are corrected by Holm over the claims of the table. Otherwise the claim is *not
shown*: also if a number is missing, if the cells were not pre-trained for the same number of steps,
and with one seed, which says nothing about other training runs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ablation.claim import Claim, Comparison
from ablation.evidence.budgets import steps_of_cells
from ablation.evidence.evidence import Evidence, Where
from ablation.plan import Plan
from ablation.statistics import (
    LEVEL,
    MOST_SEEDS,
    Estimate,
    adjusted,
    seeds_to_settle,
)
from ablation.text import plural

ClaimVerdict = Literal["holds", "not shown", "contradicted"]


@dataclass(frozen=True)
class Compared:
    """One comparison of a claim.

    Attributes:
        higher, lower: the cells; either may be a reported number of another method.
        difference: ``higher`` less ``lower``, as fractions; None if a number is missing.
        same_steps: whether both were pre-trained for the same number of steps, if at all.
        reason: why there is no difference.
    """

    higher: Where
    lower: Where
    difference: Estimate | None
    same_steps: bool = True
    reason: str = ""

    @property
    def p(self) -> float | None:
        """The p value of the difference, not corrected; None if it has no error, or one seed."""
        found = self.difference
        return found.p if found is not None and found.seeds > 1 else None

    @property
    def as_claimed(self) -> bool:
        """Whether the difference has the claimed sign."""
        return self.difference is not None and self.difference.value > 0

    @property
    def shown(self) -> bool:
        """Whether the difference is significant and as claimed, without correction."""
        return self.as_claimed and self.p is not None and self.p < LEVEL and self.same_steps


@dataclass(frozen=True)
class Answer:
    """A claim with its verdict.

    Attributes:
        p: corrected p value; 1 if no comparison is significantly against the claim, None if some
            cannot be made.
        further_seeds: how many more seeds would make all comparisons significant, if the measured
            differences are the true ones; None if no more are needed, or no number is enough.
    """

    claim: Claim
    comparisons: tuple[Compared, ...]
    p: float | None = None
    further_seeds: int | None = None

    @property
    def verdict(self) -> ClaimVerdict:
        """The verdict of all comparisons together."""
        if self.p is None or self.p >= LEVEL:
            return "not shown"
        return "holds" if all(each.as_claimed for each in self.comparisons) else "contradicted"

    @property
    def weakest(self) -> Compared | None:
        """The comparison that decides the verdict: the lowest difference in standard errors."""
        known = [each for each in self.comparisons if each.difference is not None]
        return min(known, key=lambda each: _ratio(each.difference), default=None)

    @property
    def why(self) -> str:
        """Why the claim is not shown; empty for another verdict."""
        if self.verdict != "not shown":
            return ""
        missing = [each for each in self.comparisons if each.difference is None]
        if missing:
            return f"{plural(len(missing), 'comparison')} missing: {missing[0].reason}"
        if not all(each.same_steps for each in self.comparisons):
            return "not pre-trained for the same number of steps"
        if self.p is None:
            return "one seed says nothing about other training runs: run more seeds"
        against = sum(not each.as_claimed for each in self.comparisons)
        if against:
            return f"{against} of {plural(len(self.comparisons), 'difference')} of opposite sign"
        if self.further_seeds is None:
            return f"{MOST_SEEDS} seeds would not be enough: more test groups are needed"
        return f"{plural(self.further_seeds, 'more seed')} would be enough"


def _ratio(difference: Estimate | None) -> float:
    if difference is None or difference.value == 0:
        return 0.0
    sign = math.copysign(math.inf, difference.value)
    return difference.value / difference.error if difference.error else sign


def answers_of(plan: Plan, evidence: Evidence) -> tuple[Answer, ...]:
    """The claims of a plan's study in its order; none if another metric is shown."""
    if plan.shown is not None:
        return ()
    steps = steps_of_cells(plan)
    answers = []
    for claim in plan.study.claims:
        pairs = list(_pairs(plan, claim))
        if pairs:  # the study has the rows and columns of the claim
            compared = tuple(_compared(plan, evidence, steps, pair) for pair in pairs)
            answers.append(Answer(claim, compared, _p_of(compared)))
    known = [answer.p for answer in answers if answer.p is not None]
    corrected = iter(adjusted(known))
    return tuple(
        replace(
            answer,
            p=float(next(corrected)) if answer.p is not None else None,
            further_seeds=_further_seeds(answer.comparisons, len(known)),
        )
        for answer in answers
    )


def _p_of(comparisons: tuple[Compared, ...]) -> float | None:
    """The p value of a claim before the correction over all claims."""
    found = [each.p for each in comparisons if each.p is not None]
    if len(found) < len(comparisons) or not all(each.same_steps for each in comparisons):
        return None
    if all(each.as_claimed for each in comparisons):
        return max(found)
    against = [
        float(p)
        for each, p in zip(comparisons, adjusted(found), strict=True)
        if each.difference is not None and each.difference.value < 0
    ]
    return min(against, default=1.0)


def _pairs(plan: Plan, claim: Claim) -> Iterator[Comparison]:
    """The comparisons of a claim between cells that the study has."""
    study = plan.study
    rows, columns = list(study.rows), plan.ranked
    order = (rows, columns) if claim.along_rows else (columns, rows)
    empty = {(c.row, c.column) for c in plan.cells if c.unit is None}
    for pair in claim.comparisons(*order):
        known = [cell[0] in study.all_rows or _paper(plan, cell) is not None for cell in pair]
        if all(known) and not empty.intersection(pair):
            yield pair


def _compared(
    plan: Plan, evidence: Evidence, steps: Mapping[Where, set[int]], pair: Comparison
) -> Compared:
    higher, lower = pair
    difference, reason = _difference(plan, evidence, higher, lower)
    own, others = steps.get(higher, set()), steps.get(lower, set())
    same = not (own and others) or own == others
    return Compared(higher, lower, difference, same, reason)


def _difference(
    plan: Plan, evidence: Evidence, higher: Where, lower: Where
) -> tuple[Estimate | None, str]:
    """The paired difference, or why there is none."""
    fixed = {cell: value for cell in (higher, lower) if (value := _paper(plan, cell)) is not None}
    if fixed and not plan.like_the_paper:
        return None, f"{plan.report.source if plan.report else ''} has other data or another scale"
    if len(fixed) == 2:
        return None, "both are reported, none is measured"
    for cell in (higher, lower):
        if cell not in fixed and evidence.estimate(cell) is None:
            return None, f"{' / '.join(cell)} has no value"
    if fixed:
        ((cell, value),) = fixed.items()
        return _to_fixed(evidence, higher, lower, cell, value / 100), ""
    difference = evidence.difference(higher, lower)
    return difference, "" if difference is not None else "no seed or clips in common"


def _to_fixed(
    evidence: Evidence, higher: Where, lower: Where, fixed: Where, value: float
) -> Estimate:
    """The difference to a reported number, which has no error."""
    own = evidence.estimate(lower if fixed == higher else higher)
    assert own is not None  # checked by the caller
    sign = -1.0 if fixed == higher else 1.0
    return Estimate(sign * (own.value - value), own.seeds, own.groups, own.of_seeds, own.of_groups)


def _paper(plan: Plan, cell: Where) -> float | None:
    """The reported number of another method in percent; None for our own cells."""
    if cell[0] in plan.study.all_rows or plan.report is None:
        return None
    other = plan.report.others.get(cell[0])
    return other.values.get(cell[1]) if other is not None else None


def _further_seeds(comparisons: tuple[Compared, ...], claims: int) -> int | None:
    """How many more seeds would make all comparisons significant; None if no number would."""
    most = 0
    for each in comparisons:
        if each.difference is None or not (each.as_claimed and each.same_steps):
            return None
        needed = seeds_to_settle(each.difference, claims)
        if needed is None:
            return None
        most = max(most, needed - each.difference.seeds)
    return most or None


def in_short(answers: Sequence[Answer]) -> str:
    """``2 hold, 5 not shown, 1 contradicted``."""
    counts = Counter(answer.verdict for answer in answers)
    return ", ".join(
        f"{counts[verdict]} {'hold' if verdict == 'holds' and counts[verdict] > 1 else verdict}"
        for verdict in get_args(ClaimVerdict)
        if counts[verdict]
    )
