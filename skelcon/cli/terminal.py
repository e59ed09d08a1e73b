"""Prints any text to the terminal as it is: no markup, no emoji names, no control characters.

A label, a name, a path or a reason may be any text. rich would read ``[x]`` as a style and ``:x:``
as an emoji. The consoles here read neither, so a ``str`` may be used wherever rich takes one; for a
text with a style see :func:`styled`.
"""

from __future__ import annotations

import errno
import os
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from skelcon.printable import printable


class PlainConsole(Console):
    """Prints strings as they are, in lines of :func:`skelcon.printable.printable`."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **how})

    def render_str(self, text: str, **how: Any) -> Text:
        """Called by rich for each string that it prints, those in tables too."""
        return super().render_str(_lines(text), **how)


class PipeSafeConsole(PlainConsole):
    """Becomes quiet when the reader of a pipe exits, or the terminal closes: the work goes on."""

    def on_broken_pipe(self) -> None:
        """Called by rich, which would end the process."""
        self.quiet = True
        # The file still flushes its buffer when it is closed.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.file.fileno())
        os.close(devnull)

    def _check_buffer(self) -> None:
        # Called by rich to write what was printed. (Where a version has it elsewhere, a terminal
        # that closes ends the work.)
        try:
            super()._check_buffer()
        except OSError as error:
            del self._buffer[:]
            if error.errno != errno.EIO:  # of a terminal that was closed, with SIGHUP ignored
                raise
            self.on_broken_pipe()


def styled(text: str, style: str = "", **how: Any) -> Text:
    """``text`` with a style, in lines of :func:`skelcon.printable.printable`."""
    return Text(_lines(text), style=style, **how)


def joined(*parts: str | tuple[str, str]) -> Text:
    """Texts in one line, each with its own style or none."""
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((printable(text), style) for text, style in pairs))


def say(console: Console, text: str | Text) -> None:
    """Print lines, wrapped between words on a terminal only."""
    text = styled(text) if isinstance(text, str) else text
    console.print(text, soft_wrap=not console.is_terminal)


def line(console: Console, text: str | Text) -> None:
    """Print lines that are not wrapped, so that a path can be copied."""
    console.print(styled(text) if isinstance(text, str) else text, soft_wrap=True)


def echo(text: str, *, err: bool = False) -> None:
    """Print lines without rich."""
    typer.echo(_lines(text), err=err)


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))
