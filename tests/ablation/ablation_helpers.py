"""Run the command line as its user does."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ablation.cli import main
from ablation.interrupts import SIGNALS


def ablate(*arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run skelcon-ablate as its user does, in a process of its own."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=timeout, check=False
    )


def in_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run skelcon-ablate in this process: quicker, for what starts no Ray."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {each: signal.getsignal(each) for each in SIGNALS}
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(sys, "argv", ["skelcon-ablate", *map(str, arguments)])
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        with pytest.raises(SystemExit) as end:
            main()
    for each, handler in handlers.items():
        signal.signal(each, handler)
    code = int(end.value.code or 0)
    return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())


def command(*arguments: object) -> list[str]:
    program = "from ablation.cli import main; main()"
    return [sys.executable, "-c", program, *map(str, arguments)]


@contextlib.contextmanager
def in_session(words: Sequence[object], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process that leads a session of its own; where the block fails nothing of it stays."""
    process = subprocess.Popen([*map(str, words)], start_new_session=True, **options)
    try:
        yield process
    except BaseException:
        for each in (process.pid, *processes(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        process.communicate()
        raise


def processes(group: int) -> dict[int, str]:
    """The processes of a session that are alive, and their names."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(process.name)) == group:
                status = (process / "stat").read_text()
                name, state = status[status.index("(") + 1 :].rsplit(")", 1)
                if state.split()[0] not in "ZX":
                    found[int(process.name)] = name
        except (OSError, ProcessLookupError):
            continue  # it has just ended
    return found
