"""Exit codes and last words of the console scripts."""

from __future__ import annotations

import pytest
import typer

from skelcon.cli.console import INTERRUPTED, run_app


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
