"""What the console scripts share: exit codes, error messages, progress bars.

Exit codes: 0 done, 1 a unit or the machine failed, 2 a user's mistake, 130 interrupted.
"""

from __future__ import annotations

import io
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

from skelcon.cli.terminal import PipeSafeConsole, line, styled
from skelcon.errors import MachineError, UserError, cannot_write, disk_error

# Recent versions of typer contain their own click, older ones use the package.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


RESUME = "interrupted; run the same command to resume"


class ReportedCode(int):
    """An exit code whose reason has been printed."""


INTERRUPTED = ReportedCode(130)
"""For ``typer.Exit`` in a command that has printed that it was interrupted."""


exit_at_once = threading.Event()
"""Set when the process must exit without Python's shutdown.

A thread does not stop, or libraries (Ray, torch) take seconds to unload. Exit handlers do not run.
"""


def run_app(app: typer.Typer) -> None:
    """Run a command line and exit; a user's mistake is one line on stderr, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of another encoding than UTF-8
            stream.reconfigure(errors="backslashreplace")
    code = _code_of(app)
    if exit_at_once.is_set():
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
        text = text.replace(": Value error, ", ": ")  # pydantic's, by which typer checks choices
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(text)  # the help
        else:
            _complain(setting_hint(error) or " ".join(text.split()))
        return 2
    except UserError as error:
        _complain(str(error))
        return 1 if isinstance(error, MachineError) else 2
    except OSError as error:
        reason = disk_error(error)
        if reason is None:
            raise
        _complain(reason)
        return 2
    except UnicodeEncodeError as error:
        if sys.getfilesystemencoding().startswith("utf"):
            raise
        _complain(
            f"a path or a name has characters that the locale's {sys.getfilesystemencoding()} "
            f"lacks ({error.object[error.start : error.end]!a}): set PYTHONUTF8=1"
        )
        return 2
    except (KeyboardInterrupt, typer.Abort):
        _complain(RESUME)
        return 130
    if code == INTERRUPTED and not isinstance(code, ReportedCode):  # typer's own, on Ctrl-C
        _complain(RESUME)
    return code if isinstance(code, int) else 0


def setting_hint(error: Exception) -> str | None:
    """For an unknown option that is named like a setting (``--epochs 3``): how to set it."""
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if type(error).__name__ != "NoSuchOption" or option is None or context is None:
        return None
    if not any("--set" in parameter.opts for parameter in context.command.params):
        return None
    from skelcon.settings import setting_paths

    name = option.lstrip("-").replace("-", "_")
    paths = [path for path in setting_paths() if path == name or path.endswith(f".{name}")]
    if not paths:
        return None
    others = f" (or {', '.join(paths[1:])})" if paths[1:] else ""
    return f"no option {option}: give --set {paths[0]}={_value_of(option)}{others}"


def _value_of(option: str) -> str:
    """The value that was typed for ``option``."""
    for word, following in zip(sys.argv, [*sys.argv[1:], "VALUE"], strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return "VALUE"


@contextmanager
def progress_bar(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with the remaining time, on a terminal only; yields its update function."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
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
def activity(console: Console, what: str) -> Iterator[Callable[[str], None]]:
    """Show ``what`` beside a spinner, on a terminal only; yields a function that replaces it."""
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status(styled(what)) as status:
        yield lambda text: status.update(styled(text))


@contextmanager
def can_write(out: Path) -> Iterator[None]:
    """Make the directory of ``out``; an error of this or of writing becomes one line."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise cannot_write(out, error) from None


def _complain(text: str) -> None:
    line(PipeSafeConsole(stderr=True), styled(f"error: {text}", "red"))
