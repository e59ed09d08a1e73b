"""The effects of a design in words, as lines of a frame, as Markdown and as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ablation import doors
from ablation.designs.describe import described, interaction, main_effects_are_mixed
from ablation.evidence.effects import Effects
from ablation.plan import Plan
from ablation.report.effect_words import EffectWords
from ablation.report.entry import difference, p_text
from ablation.text import plural

COLUMNS: tuple[str, ...] = ("column", "design", "kind", "factor", "level", "against")
COLUMNS += ("effect", "low", "high", "p", "p_holm", "share")
EXPLAINED = (
    "Each line is the difference of the level to the one that it stands against, in percentage "
    "points over all runs of the design, with its 95 % interval over {over}. p is corrected by "
    "Holm over the lines of its kind; bold are effects with p below 5 %. Share: of the variance of "
    "all runs and seeds."
)


def frame_of(effects: Sequence[Effects]) -> pd.DataFrame:
    """One line per effect; the columns are :data:`COLUMNS`, effects in percentage points.

    Of an interaction factor, level and against are those of both, with a colon between.
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
    """Of each column which factors matter, how much, and which cannot be told from nothing."""
    return [_sentence(plan, effects, each) for each in effects]


def _sentence(plan: Plan, effects: Sequence[Effects], each: Effects) -> str:
    about = []
    if len({other.column for other in effects}) > 1:
        about.append(plan.study.columns[each.column].label or each.column)
    if len({other.kind for other in effects}) > 1:
        about.append(each.kind)
    where = f" ({', '.join(about)})" if about else ""
    if each.reason:
        return f"What matters{where} is not said: {each.reason}."
    if not each.basis:
        alone = f"one seed, and no run to spare{_part(plan, each)}"
        return f"What matters{where} is not said: {alone}: run more seeds."
    words = EffectWords(each)
    mattering = {name: found for name in words.names if (found := words.largest(name)) is not None}
    told = [
        f"{words.names[name]} (explains {100 * each.shares[name]:.0f} % of the variance; "
        f"{words.compared(found)})"
        for name, found in sorted(mattering.items(), key=lambda item: -each.shares[item[0]])
    ]
    rest = [words.names[axis.name] for axis in each.axes if axis.name not in mattering]
    shown = words.shown_interactions
    design, runs = plan.study.design, [r.levels for r in plan.study.rows.values() if r.levels]
    mixed = design is not None and main_effects_are_mixed(design, runs)
    small = ", if interactions are small" if mixed else ""
    lead = f"Which matters{where}{small}: {', '.join(told)}"
    if not told:
        lead = f"{'No factor by itself' if shown else 'Nothing'} is shown to matter{where}"
    parts = [lead, *([f"not distinguishable: {', '.join(rest)}"] if rest else [])]
    parts += [f"interactions: {', '.join(map(words.depending, shown))}"] if shown else []
    return f"{'; '.join(parts)}{_part(plan, each)}."


def _part(plan: Plan, each: Effects) -> str:
    """`` (16 of 18 runs, 2 of 3 seeds)``, if not all that were asked are there."""
    counts = {"run": each.runs, "seed": (each.seeds, len(plan.seeds))}
    told = [f"{n} of {plural(of, what)}" for what, (n, of) in counts.items() if n != of]
    return f" ({', '.join(told)})" if told else ""


def details(effects: Sequence[Effects]) -> list[str]:
    """Where the intervals come from, and what cannot be told."""
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
        told = [interaction(pair, names) for pair in each.closed]
        if told and each.interactions:
            found[f"Interactions that the runs cannot tell: {', '.join(told)}."] = None
    if any(not each.interactions and len(each.axes) > 1 for each in effects):
        found["No interaction can be told from a design of this kind."] = None
    return list(found)


def _over(each: Effects) -> str:
    first = {"runs": "runs", "seeds": "seeds"}[each.basis]
    groups = any(effect.difference.groups for effect in each.main)
    return f"{first}, test groups and clips" if groups else first


# -- tables -----------------------------------------------------------------------------------


def _lines(plan: Plan, effects: Sequence[Effects]) -> list[tuple[list[str], bool]]:
    """What :data:`HEAD` has of each effect, and whether it is shown."""
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
    design, rows = plan.study.design, plan.study.rows.values()
    runs = [row.levels for row in rows if row.levels]
    about = described(design, runs) if design is not None and len(runs) > 1 else []
    return [
        *sentences(plan, effects),
        *about,
        EXPLAINED.format(over=" or ".join(over) or "nothing"),
    ]


def to_markdown(plan: Plan, effects: Sequence[Effects]) -> str:
    """The effects as a table, shown ones in bold."""
    lines = [f"{doors.to_markdown(plan.study.title)}: effects."]
    lines += ["", f"| {' | '.join(HEAD)} |", "| --- | --- | --- | --- | ---: | ---: | ---: |"]
    for cells, shown in _lines(plan, effects):
        texts = [doors.to_markdown(cell) for cell in cells]
        texts[4] = f"**{texts[4]}**" if shown else texts[4]
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(
        [*lines, "", *(f"- {doors.to_markdown(t)}" for t in _below(plan, effects)), ""]
    )


def to_latex(plan: Plan, effects: Sequence[Effects]) -> str:
    r"""The same for ``\input``; it needs booktabs."""
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
