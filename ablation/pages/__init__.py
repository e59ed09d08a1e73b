"""A report on the tables of a results directory: one HTML file that needs no network.

`page.py` collects its contents as plain values; `files/` has the templates, the style sheet and the
script. It contains no date: the same results give the same bytes.
"""

from ablation.pages.page import Page, Results, make_page, read_results
from ablation.pages.render import to_html
from ablation.pages.summary import to_markdown

__all__ = ["Page", "Results", "make_page", "read_results", "to_html", "to_markdown"]
