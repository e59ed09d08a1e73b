from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from ablation.cli import main, single
from ablation.interrupts import SIGNALS


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in SIGNALS}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.fixture
def ablate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], signals_as_before: None
) -> Callable[..., Ended]:
    """Run ``skelcon-ablate`` in this process."""

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["skelcon-ablate", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return Ended(int(end.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def skelcon(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], signals_as_before: None
) -> Callable[..., Ended]:
    """Run ``skelcon`` in this process."""

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["skelcon", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            single.main()
        return Ended(int(end.value.code or 0), *capsys.readouterr())

    return run
