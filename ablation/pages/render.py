"""The page as HTML: one file that loads nothing and runs only its own script."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

import jinja2
from markupsafe import Markup

from ablation import doors
from ablation.pages.claims import MARKS
from ablation.pages.page import Page

PACKAGE, FILES = "ablation.pages", "files"


def to_html(page: Page) -> str:
    """The whole document.

    Every text is escaped by :func:`ablation.doors.to_html`. The content security policy in its head
    allows only this script and this style sheet, and no network access.
    """
    style, script = _own("report.css"), _own("report.js")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    template = _environment().get_template("report.html.j2")
    return template.render(page=page, policy=policy, style=Markup(style), script=Markup(script))


def _own(file: str) -> str:
    return resources.files(PACKAGE).joinpath(FILES, file).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """The hash by which a content security policy allows a text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(PACKAGE, FILES),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        finalize=_escaped,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["marks"] = MARKS
    return environment


def _escaped(value: object) -> object:
    """A value as HTML; markup stays as it is."""
    return value if isinstance(value, Markup) else Markup(doors.to_html(str(value)))
