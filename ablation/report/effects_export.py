"""The effects of a design in words, as lines of a frame, as Markdown and as LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ablation import doors
from ablation.designs.describe import described, interaction, main_effects_are_aliased
from ablation.evidence.effects import Effects
from ablation.plan import Plan
from ablation.report.effect_words import EffectWords
from ablation.report.entry import difference, p_text
from ablation.text import plural

COLUMNS: tuple[str, ...] = ("column", "design", "kind", "factor", "level", "against")
COLUMNS += ("effect", "low", "high", "p", "p_holm", "share")
EXPLAINED = (
    "Each line is the difference between a level and the level that it is compared with (against), "
    "in percentage points over all runs of the design, with its 95 % interval over {over}. p is "
    "corrected by Holm over the main effects, or over the interactions; effects with p below 5 % "
    "are bold. Share: of the variance of all runs and seeds."
)


def frame_of(effects: Sequence[Effects]) -> pd.DataFrame:
    """One line per effect; the columns are :data:`COLUMNS`, effects in percentage points.

    In an interaction, factor, level and against name both factors, separated by a colon.
    """
    lines = []
    for each in effects:
        for effect in (*each.main, *each.interactions):
            kind = "main" if len(effect.factors) == 1 else "interaction"
            names = (":".join(n) for n in (effect.factors, effect.levels, effect.against))
            found = effect.difference
            within = [100 * end for end in found.interval] if found.interval else [None, None]
            share = each.shares.get(effect.factors[0]) if kind == "main" else None
            numbers = (100 * found.value, *within, found.p, effect.p_holm, share)
            lines.append((each.column, each.kind, kind, *names, *numbers))
    return pd.DataFrame(lines, columns=list(COLUMNS))


# -- a sentence -------------------------------------------------------------------------------


def sentences(plan: Plan, effects: Sequence[Effects]) -> list[str]:
    """For each column which factors are significant and how large their effects are."""
    return [_sentence(plan, effects, each) for each in effects]


def _sentence(plan: Plan, effects: Sequence[Effects], each: Effects) -> str:
    about = []
    if len({other.column for other in effects}) > 1:
        about.append(plan.study.columns[each.column].label or each.column)
    if len({other.kind for other in effects}) > 1:
        about.append(each.kind)
    where = f" ({', '.join(about)})" if about else ""
    if each.reason:
        return f"Effects{where} are not estimated: {each.reason}."
    if not each.basis:
        why = f"one seed and no residual degrees of freedom{_missing(plan, each)}"
        return f"Effects{where} are not estimated: {why}: run more seeds."
    words = EffectWords(each)
    largest = {name: found for name in words.names if (found := words.largest(name)) is not None}
    significant = [
        f"{words.names[name]} (explains {100 * each.shares[name]:.0f} % of the variance; "
        f"{words.compared(found)})"
        for name, found in sorted(largest.items(), key=lambda item: -each.shares[item[0]])
    ]
    shown = words.shown_interactions
    if significant:
        small = ", if interactions are small" if _aliased(plan) else ""
        parts = [f"Significant factors{where}{small}: {', '.join(significant)}"]
    else:
        parts = [f"No factor is significant{' by itself' if shown else ''}{where}"]
    rest = [words.names[axis.name] for axis in each.axes if axis.name not in largest]
    if rest and significant:
        parts.append(f"not significant: {', '.join(rest)}")
    if shown:
        parts.append(f"interactions: {', '.join(map(words.depending, shown))}")
    return f"{'; '.join(parts)}{_missing(plan, each)}."


def _aliased(plan: Plan) -> bool:
    """Whether main effects are aliased with two-factor interactions."""
    design = plan.study.design
    return design is not None and main_effects_are_aliased(design, _runs(plan))


def _runs(plan: Plan) -> list[Mapping[str, str]]:
    """The levels of each row of the design."""
    return [row.levels for row in plan.study.rows.values() if row.levels]


def _missing(plan: Plan, each: Effects) -> str:
    """`` (16 of 18 runs, 2 of 3 seeds)``; empty if all runs and seeds are used."""
    counts = {"run": each.runs, "seed": (each.seeds, len(plan.seeds))}
    parts = [f"{n} of {plural(of, what)}" for what, (n, of) in counts.items() if n != of]
    return f" ({', '.join(parts)})" if parts else ""


def details(effects: Sequence[Effects]) -> list[str]:
    """What the intervals are over, and which interactions cannot be estimated."""
    found = dict[str, None]()
    for each in effects:
        if each.reason or not each.basis:
            continue
        rest = f"{100 * each.shares['runs']:.0f} % between runs beyond the main effects"
        noise = f"{100 * (each.shares['seeds'] + each.shares['noise']):.0f} % between seeds"
        found[
            f"Effects ({each.column}, {each.kind}): {rest}, {noise}; intervals over {_over(each)}."
        ] = None
        names = {axis.name: axis.label for axis in each.axes}
        if each.not_estimable and each.interactions:
            pairs = ", ".join(interaction(pair, names) for pair in each.not_estimable)
            found[f"Interactions that cannot be estimated from these runs: {pairs}."] = None
    if any(not each.interactions and len(each.axes) > 1 for each in effects):
        found["Interactions cannot be estimated from a design of this kind."] = None
    return list(found)


def _over(each: Effects) -> str:
    groups = any(effect.difference.groups for effect in each.main)
    return f"{each.basis}, test groups and clips" if groups else each.basis


# -- tables -----------------------------------------------------------------------------------


def _lines(plan: Plan, effects: Sequence[Effects]) -> list[tuple[list[str], bool]]:
    """The cells of each effect below :data:`HEAD`, and whether it is significant."""
    found = []
    for each in effects:
        words = EffectWords(each)
        column = plan.study.columns[each.column].label or each.column
        column += f", {each.kind}" if len({other.kind for other in effects}) > 1 else ""
        for effect in (*each.main, *each.interactions):
            share = each.shares.get(effect.factors[0], 0.0)
            cells = [
                column,
                words.factor(effect.factors),
                words.levels(effect, effect.levels),
                words.levels(effect, effect.against),
                difference(effect.difference),
                p_text(effect.p_holm),
                f"{100 * share:.0f} %" if len(effect.factors) == 1 else "",
            ]
            found.append((cells, effect.shown))
    return found


HEAD = ["column", "factor", "level", "against", "difference [95 %]", "p", "share"]


def _below(plan: Plan, effects: Sequence[Effects]) -> list[str]:
    over = dict.fromkeys(_over(each) for each in effects if each.basis)
    design, runs = plan.study.design, _runs(plan)
    about = described(design, runs) if design is not None and len(runs) > 1 else []
    return [
        *sentences(plan, effects),
        *about,
        EXPLAINED.format(over=" or ".join(over) or "nothing"),
    ]


def to_markdown(plan: Plan, effects: Sequence[Effects]) -> str:
    """The effects as a table, significant ones in bold."""
    rows = []
    for cells, shown in _lines(plan, effects):
        texts = [doors.to_markdown(cell) for cell in cells]
        texts[4] = f"**{texts[4]}**" if shown else texts[4]
        rows.append(texts)
    lines = [f"{doors.to_markdown(plan.study.title)}: effects.", ""]
    lines += [*doors.markdown_table(HEAD, "llllrrr", rows), ""]
    lines += [f"- {doors.to_markdown(note)}" for note in _below(plan, effects)]
    return "\n".join(lines) + "\n"


def to_latex(plan: Plan, effects: Sequence[Effects]) -> str:
    r"""The same table for ``\input``; it needs booktabs."""
    name = doors.to_latex_name(f"tab:{plan.study.name}-effects")
    text = doors.to_latex
    lines = [r"% needs \usepackage{booktabs}", r"\begin{table*}", r"\centering"]
    lines += [rf"\caption{{{text(f'{plan.study.title}: effects.')}}}", rf"\label{{{name}}}"]
    lines += [r"\par\smallskip\scriptsize\setlength{\tabcolsep}{3pt}", r"\begin{tabular}{llllrrr}"]
    lines += [r"\toprule", " & ".join(map(text, HEAD)) + r" \\", r"\midrule"]
    for cells, shown in _lines(plan, effects):
        texts = [text(cell) for cell in cells]
        texts[4] = texts[4].replace("-", "$-$")
        texts[4] = rf"\textbf{{{texts[4]}}}" if shown else texts[4]
        lines.append(" & ".join(texts) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\par\smallskip", r"\begin{minipage}{\linewidth}"]
    lines += [
        r"\footnotesize",
        *map(text, _below(plan, effects)),
        r"\end{minipage}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"
