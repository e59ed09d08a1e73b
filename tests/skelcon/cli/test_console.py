"""Exit codes and last words of the console scripts."""

from __future__ import annotations

import io

import pytest
import typer

from skelcon.cli.console import INTERRUPTED, activity, run_app
from skelcon.cli.terminal import PlainConsole


def ending(error: BaseException) -> typer.Typer:
    """A command line whose command raises ``error``."""
    app = typer.Typer()

    @app.command()
    def command() -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "expected"),
    [(KeyboardInterrupt(), "run the same command to resume"), (typer.Exit(INTERRUPTED), "")],
)
def test_an_interrupt_is_reported_once(
    error: BaseException,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By the command, or else at the end."""
    monkeypatch.setattr("sys.argv", ["command"])
    with pytest.raises(SystemExit) as end:
        run_app(ending(error))
    assert end.value.code == 130
    err = capsys.readouterr().err
    assert expected in err
    assert len(err.splitlines()) == bool(expected)


def test_an_activity_is_shown_on_a_terminal_only() -> None:
    terminal, pipe = io.StringIO(), io.StringIO()
    for file in (terminal, pipe):
        console = PlainConsole(file=file, force_terminal=file is terminal, width=80)
        with activity(console, "reading") as show:
            show("drawing [tsne]")
            console.print("intervals: a.png")
    assert "drawing [tsne]" in terminal.getvalue()
    assert pipe.getvalue() == "intervals: a.png\n"
