"""What the console scripts have in common.

How they end: 0 done, 1 some unit failed, 2 the user's mistake, 130 stopped.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from skelcon.errors import UserError

# Recent typer brings a click of its own, older ones use the package: both through one door.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class ToldCode(int):
    """An exit code whose reason has been told."""


INTERRUPTED = ToldCode(130)
"""For ``typer.Exit``, by who has said that the command was interrupted."""


class LastingConsole(Console):
    """Goes quiet when its reader has gone away: what is worked on goes on to its end."""

    def on_broken_pipe(self) -> None:
        """Called by rich, whose own answer is to end the process."""
        self.quiet = True
        # What the file still holds has to go somewhere when it is closed.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.file.fileno())
        os.close(devnull)


hung = threading.Event()
"""Set by who has given up waiting for a thread or a library that would hold up the end as well."""


def run_app(app: typer.Typer) -> None:
    """Run a command line and exit; a mistake is one line on stderr, never a traceback."""
    code = _code_of(app)
    if hung.is_set():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _code_of(app: typer.Typer) -> int:
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:
        text = error.format_message()  # type: ignore[attr-defined]
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(text)
        else:
            _complain(" ".join(text.split()))
        return 2
    except UserError as error:
        _complain(str(error))
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        _complain(f"'{error.filename}': {error.strerror}")
        return 2
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted; the same command goes on from here")
        return 130
    if code == INTERRUPTED and not isinstance(code, ToldCode):  # typer's own answer to Ctrl-C
        _complain("interrupted; the same command goes on from here")
    return code if isinstance(code, int) else 0


@contextmanager
def progress_bar(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with the time that is left, on a terminal alone; what moves it is given."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def can_write(out: Path) -> Iterator[None]:
    """The directory of ``out`` is made; where that or the writing fails, it is said in one line."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(f"cannot write '{out}': {error.strerror or error}") from None


def _complain(text: str) -> None:
    Console(stderr=True).print(
        f"error: {text}", style="red", highlight=False, markup=False, soft_wrap=True
    )
