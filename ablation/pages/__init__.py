"""One page of a results directory's tables, as a file that needs no network and no other file.

`page.py` collects what is told as plain values; `files/` has the templates, the style and the
script. Nothing in it depends on when it was made: the same results give the same bytes.
"""

from ablation.pages.page import Page, Results, make_page, read_results
from ablation.pages.render import to_html
from ablation.pages.summary import to_markdown

__all__ = ["Page", "Results", "make_page", "read_results", "to_html", "to_markdown"]
