r"""A table as LaTeX, for ``\input`` or as a whole document."""

from __future__ import annotations

from ablation.doors import to_latex as text
from ablation.doors import to_latex_name
from ablation.report.layout import Layout, Line, Printed
from ablation.report.notes import Origin
from skelcon.printable import printable

COLUMN = 229.0
"""Width in points of a column of the two-column article class; few journals have a narrower one."""
CHARACTER, GAP = 4.25, 8.0
"""Width in points of a digit in footnote size, and of the space between two columns."""
WIDE = "it is wider than one column of two, and made smaller where it is wider than the text"
SMALLER = r"""\sbox0{\skelcontable}%
\ifdim\wd0>\linewidth \scriptsize\setlength{\tabcolsep}{2pt}\sbox0{\skelcontable}\fi
\ifdim\wd0>\linewidth \tiny\sbox0{\skelcontable}\fi
\ifdim\wd0>\linewidth \ifdefined\resizebox\sbox0{\resizebox{\linewidth}{!}{\usebox0}}\fi\fi
\usebox0"""
"""Typesets the table in a box, in ever smaller sizes; ``graphicx`` scales it, if it is loaded."""
HEAD = r"""\documentclass{article}
\usepackage{booktabs,amssymb,graphicx}
\pagestyle{empty}
\begin{document}"""


def to_latex(layout: Layout, name: str, *, standalone: bool = False) -> str:
    r"""A float with the best of each column in bold, the second underlined.

    It needs booktabs, and amssymb for check marks. A table that is wider than one column of a
    two-column article becomes a ``table*`` that fits itself to the text; a comment says so.

    Args:
        layout: the table.
        name: for ``\label``.
        standalone: whether to write a whole document.
    """
    wide = _width(layout) > COLUMN
    float_ = "table*" if wide else "table"
    lines = [r"% needs \usepackage{booktabs} and \usepackage{amssymb}"]
    lines += [f"% {float_}: {WIDE}"] if wide else []
    lines += [f"% {printable(note)}" for note in layout.origin]
    lines += [rf"\begin{{{float_}}}", r"\centering", rf"\caption{{{text(layout.caption)}}}"]
    lines += [
        rf"\label{{{to_latex_name(name)}}}",
        r"\par\smallskip\footnotesize\setlength{\tabcolsep}{4pt}",
    ]
    if wide:
        lines += [r"\def\skelcontable{%", *_tabular(layout, ""), "}%", SMALLER]
    else:
        lines += _tabular(layout, r"\scriptsize ")
    notes = [
        rf"\textsuperscript{{{n}}}\,{text(note)}." for n, note in enumerate(layout.footnotes, 1)
    ]
    notes += [text(note) for note in layout.notes if not isinstance(note, Origin)]
    if notes:
        lines += [r"\par\smallskip", r"\begin{minipage}{\linewidth}", r"\footnotesize"]
        lines += [*notes, r"\end{minipage}"]
    lines.append(rf"\end{{{float_}}}")
    if standalone:
        lines = [HEAD, *lines, r"\end{document}"]
    return "\n".join(lines) + "\n"


def _tabular(layout: Layout, small: str) -> list[str]:
    """``small`` is the size command for words and for the numbers in parentheses."""
    lead = len(layout.ticks) or 1
    columns = ("c" * lead if layout.ticks else "l") + "r" * len(layout.heads)
    heads = [text(tick) for tick in layout.ticks] or [""]
    heads += [rf"\textit{{{text(h.label)}}}" if h.of_paper else text(h.label) for h in layout.heads]
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(heads) + r" \\"]
    kind = ""
    for line in layout.lines:
        if line.kind != kind:
            lines.append(r"\midrule")
            kind = line.kind
        cells = [
            *_label(line, lead if layout.ticks else 0),
            *(_cell(cell, small) for cell in line.cells),
        ]
        lines.append(" & ".join(cells) + r" \\")
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _label(line: Line, ticks: int) -> list[str]:
    """The cells in front of the numbers: ticks, or a label over all of the tick columns."""
    if line.kind == "row" and ticks:
        return [r"$\checkmark$" if tick else "--" for tick in line.ticks]
    label = text(line.label)
    if line.kind == "row":
        return [label]
    return [rf"\multicolumn{{{ticks or 1}}}{{l}}{{\textit{{{label}}}}}"]


def _cell(cell: Printed, small: str) -> str:
    if cell.reason:
        return rf"{{{small}\textit{{{text(cell.reason)}}}}}"
    if not cell.number:
        return rf"--\textsuperscript{{{cell.mark}}}" if cell.mark else "--"
    number, beside = cell.texts(r" $\pm$ ")
    if cell.best:
        number = rf"\textbf{{{number}}}"
    elif cell.second:
        number = rf"\underline{{{number}}}"
    beside = beside.replace("-", "$-$")
    return rf"{number} {{{small}{beside}}}" if beside else number


def _width(layout: Layout) -> float:
    """The approximate width of the table in points."""
    widths = [max(len(tick), 2) for tick in layout.ticks]
    labels = [len(line.label) for line in layout.lines if line.kind != "row" or not widths]
    columns = [len(head.label) for head in layout.heads]
    for line in layout.lines:
        for place, cell in enumerate(line.cells):
            number, beside = cell.texts()
            shown = len(cell.reason or number) + 0.8 * (len(beside) + 1 if beside else 0)
            columns[place] = max(columns[place], int(shown))
    lead = max([sum(widths) + GAP / CHARACTER * len(widths[1:]), *labels])
    return CHARACTER * (lead + sum(columns)) + GAP * len(columns)
