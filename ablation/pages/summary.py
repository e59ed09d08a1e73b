"""A summary of the page in Markdown, for the description of a pull request."""

from __future__ import annotations

from dataclasses import replace

from ablation.doors import markdown_table
from ablation.doors import to_markdown as text
from ablation.pages.claims import PageClaim
from ablation.pages.page import Page, Section
from ablation.report.claims_export import EXPLAINED
from ablation.report.markdown import to_markdown as table_to_markdown


def to_markdown(page: Page) -> str:
    """Summary, tables and claims, without explanations, figures and provenance."""
    lines = [f"# {text(page.title)}", "", *map(text, page.sentences), ""]
    heads = ["table", "numbers", "hold", "not shown", "contradicted", "compute time"]
    rows = []
    for section in page.sections:
        counts = map(str, section.verdicts.values()) if section.claims else ["", "", ""]
        known = f"{section.numbers[0]} of {section.numbers[1]}"
        rows.append([text(section.title), known, *counts, section.spent[-1].total])
    lines += markdown_table(heads, "lrrrrr", rows)
    for section in page.sections:
        lines += _section(section)
    if any(section.claims for section in page.sections):
        lines += ["", EXPLAINED]
    for name, why in page.damaged:
        lines += ["", f"Left out: {text(name)}, {text(why)}."]
    return "\n".join(lines) + "\n"


def _section(section: Section) -> list[str]:
    grid = section.grid
    table = table_to_markdown(replace(grid.layout, notes=grid.notes))
    lines = ["", f"## {text(section.title)}", "", table.rstrip()]
    lines += ["", *map(_claim, section.claims)] if section.claims else []
    failed = [each for each in section.missing if each.state != "not applicable"]
    lines += ["", *(f"- {each.state}: {text(f'{each.where}: {each.reason}')}" for each in failed)]
    return lines if failed else lines[:-1]


def _claim(claim: PageClaim) -> str:
    weakest = claim.weakest
    what = f"{weakest.pair} {weakest.effect}, p {claim.p or '-'}" if weakest is not None else ""
    why = "; ".join(part for part in (what, claim.why) if part)
    source = f" ({claim.source})" if claim.source else ""
    line = f"- {claim.mark} **{claim.verdict}**: {text(f'{claim.text}{source}')}"
    return f"{line} — {text(why)}" if why else line
