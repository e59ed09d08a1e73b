"""Escaping of any text for LaTeX, HTML and Markdown, one function for each.

Labels, titles, notes, names, paths and reasons come from users' files. Each function takes any
``str`` and returns one line that is rendered as that text. Line breaks and control characters are
replaced as by :func:`skelcon.printable.printable`. For the terminal: :mod:`skelcon.cli.terminal`.
"""

from ablation.doors.html import to_html
from ablation.doors.latex import to_latex, to_latex_name
from ablation.doors.markdown import markdown_table, to_markdown

__all__ = ["markdown_table", "to_html", "to_latex", "to_latex_name", "to_markdown"]
