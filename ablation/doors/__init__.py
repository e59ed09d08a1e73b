"""The doors of texts to LaTeX, HTML and Markdown: one function each, for whatever a user writes.

Labels, titles, notes, names, paths and reasons come from files. Each function takes any ``str`` and
gives one line that a program for the format reads back as that text, with what
:func:`skelcon.printable.printable` says of line breaks and control characters. The door to the
terminal is :mod:`skelcon.cli.terminal`.
"""

from ablation.doors.html import to_html
from ablation.doors.latex import to_latex, to_latex_name
from ablation.doors.markdown import to_markdown

__all__ = ["to_html", "to_latex", "to_latex_name", "to_markdown"]
