"""The door of texts to the terminal: nothing in them is markup, an emoji's name or a control.

A label, a name, a path or a reason may be anything. rich would read ``[x]`` as a style and ``:x:``
as an emoji; what is printed with it is made by :func:`shown`, or printed by :func:`say`.
"""

from __future__ import annotations

import typer
from rich.console import Console
from rich.text import Text

from skelcon.printable import printable


def shown(text: str, style: str = "") -> Text:
    """``text`` as rich prints it: itself, in one line (:func:`skelcon.printable.printable`)."""
    return Text(printable(text), style=style)


def say(console: Console, text: str | Text, style: str = "") -> None:
    """Print lines: wrapped between words on a terminal, each as one line elsewhere."""
    console.print(_lines(text, style), highlight=False, soft_wrap=not console.is_terminal)


def line(console: Console, text: str | Text, style: str = "") -> None:
    """Print lines that are not wrapped, so that a path can be copied."""
    console.print(_lines(text, style), highlight=False, soft_wrap=True)


def echo(text: str, *, err: bool = False) -> None:
    """Print lines on standard output (or ``err``) without rich."""
    typer.echo("\n".join(map(printable, text.split("\n"))), err=err)


def _lines(text: str | Text, style: str) -> Text:
    if isinstance(text, Text):
        return text
    return Text("\n".join(map(printable, text.split("\n"))), style=style)
