"""Does skelcon keep its word on this GPU, and how fast is it? One command, within eight minutes.

    python tests/gpu/check.py --out DIR                       on a machine with a GPU
    python tests/gpu/check.py --out DIR --reference CHECKOUT  beside the authors' code
    python tests/gpu/check.py --device cpu --size tiny --out DIR   to try the check itself

Writes DIR/check.json and DIR/check.md after each part. Exit code 0 if nothing was wrong, 1 if
something was, 2 for a mistake in the command. Each part runs in a process of its own, and is ended
when its time is over; what it had found until then is kept.

It needs this checkout, Python 3.11 or newer with torch, numpy, PyYAML and rich, and no network.
pydantic (with pydantic_core, annotated_types and typing_inspection) is what a machine with torch
lacks most often: bring it as wheels. The part `study` needs all that skelcon depends on, ray[tune]
and optuna above all; where it is absent the part is skipped, and says so:

    pip download --only-binary=:all: --no-deps --python-version 3.12 -d wheels \\
        pydantic pydantic-core annotated-types typing-inspection
    pip install --no-index --no-deps --target site wheels/*.whl    # on the GPU's machine
    PYTHONPATH=site python tests/gpu/check.py --out DIR
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "benchmarks"), str(HERE.parents[1])]

from gpu_page import Row, page  # noqa: E402

LIMIT = 470.0
"""Seconds for all parts together."""
NO_DEVICE = 3
"""The exit code of a part's process where there is no GPU."""


@dataclass(frozen=True)
class Part:
    """What is checked in one process: a module's function, within so many seconds."""

    title: str
    module: str
    function: str
    seconds: float


PARTS = {
    "exact": Part("Against float64 on the CPU", "gpu_exact", "run", 80),
    "repeat": Part("The same bits", "gpu_repeat", "run", 80),
    "speed": Part("Speed, and what the card allows", "gpu_speed", "run", 120),
    "memory": Part("A share of the memory", "gpu_runs", "memory", 30),
    "ranks": Part("Two ranks", "gpu_runs", "ranks", 50),
    "study": Part("The quick study through Ray", "gpu_runs", "study", 120),
    "reference": Part("The authors' code", "gpu_runs", "reference", 60),
}


def main() -> int:
    """The command line."""
    options = _options()
    if options.part:
        return _run_part(options)
    options.out.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = []
    until = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory(prefix="skelcon-check-") as scratch:
        for name in options.parts.split(","):
            limit = min(PARTS[name].seconds, until - time.monotonic())
            found.append(_in_a_process(name, limit, options, Path(scratch)))
            if found[-1]["state"] == "no device":
                print("--device cuda: torch sees no GPU here; --device cpu tries the check itself")
                return 2
            _write(options.out, found)
            print(f"{name}: {found[-1]['state']} {found[-1]['reason']}", flush=True)
    return 1 if any(part["state"] == "failed" for part in found) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", choices=("paper", "tiny"), default="paper")
    parser.add_argument("--parts", default=",".join(PARTS), help="which, with commas")
    parser.add_argument("--seconds", type=float, default=LIMIT, help="of all parts together")
    parser.add_argument("--reference", type=Path, help="a checkout of the authors' code")
    parser.add_argument("--out", type=Path, default=Path("check"))
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [name for name in options.parts.split(",") if name not in PARTS]
    if unknown:
        parser.error(f"--parts {unknown[0]}: there are {', '.join(PARTS)}")
    return options


def _machine(device: str) -> dict[str, object]:
    import torch

    found: dict[str, object] = {
        "device": "CPU",
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "revision": _said("git", "-C", str(HERE), "describe", "--always", "--dirty"),
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found["device"] = f"{torch.cuda.device_count()} x {properties.name}"
        found["memory"] = f"{properties.total_memory / 2**30:.0f} GiB"
        found["CUDA, cuDNN"] = f"{torch.version.cuda}, {torch.backends.cudnn.version()}"
        found["driver"] = _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return found


def _said(*command: str) -> str:
    with contextlib.suppress(OSError):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return " ".join(done.stdout.split()) or "unknown"
    return "unknown"


def _in_a_process(
    name: str, limit: float, options: argparse.Namespace, scratch: Path
) -> dict[str, Any]:
    """Run a part; what it found, even if it had to be ended."""
    part, began = PARTS[name], time.monotonic()
    found: dict[str, Any] = {
        "name": name,
        "title": part.title,
        "seconds": 0.0,
        "rows": [],
        "machine": {},
    }
    if limit < 10:
        return {**found, "state": "not run", "reason": "no time was left"}
    place = scratch / name
    place.mkdir()
    words = [sys.executable, __file__, "--part", name, "--seconds", str(limit - 2)]
    words += ["--device", options.device, "--size", options.size, "--out", str(place)]
    if options.reference:
        words += ["--reference", str(options.reference.resolve())]
    with (place / "errors").open("w+") as errors:
        child = subprocess.Popen(words, stdout=errors, stderr=errors, start_new_session=True)
        try:
            code: int | None = child.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        errors.seek(0)
        last = errors.read().strip()[-2000:]
    found["rows"] = _rows(place / "rows")
    found["machine"] = _read(place / "machine") or {}
    found["seconds"] = time.monotonic() - began
    return {**found, **_verdict(code, found["rows"], last, place / "skipped")}


def _verdict(code: int | None, rows: Sequence[Row], last: str, skipped: Path) -> dict[str, str]:
    wrong = [row.what for row in rows if row.ok is False]
    if code == NO_DEVICE:
        return {"state": "no device", "reason": ""}
    if skipped.exists():
        return {"state": "skipped", "reason": skipped.read_text()}
    if wrong:
        return {"state": "failed", "reason": "; ".join(wrong)}
    if code is None:
        return {"state": "out of time", "reason": f"after {len(rows)} rows"}
    if code:
        return {"state": "failed", "reason": (last.splitlines() or [f"exit code {code}"])[-1]}
    return {"state": "passed", "reason": ""}


def _rows(path: Path) -> list[Row]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [Row(**json.loads(line)) for line in lines]


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def _write(out: Path, parts: list[dict[str, Any]]) -> None:
    machine = next((part["machine"] for part in parts if part["machine"]), {})
    parts = [{key: part[key] for key in part if key != "machine"} for part in parts]
    plain = [{**part, "rows": [asdict(row) for row in part["rows"]]} for part in parts]
    text = json.dumps({"machine": machine, "parts": plain}, indent=1)
    (out / "check.json").write_text(text + "\n")
    (out / "check.md").write_text(page(machine, parts))


def _run_part(options: argparse.Namespace) -> int:
    """In the part's own process."""
    import torch
    from gpu_cases import SkippedPartError, Task

    from ablation.work.process import prepare

    prepare(torch.get_num_threads())  # as every process that trains a unit

    if options.device == "cuda" and not torch.cuda.is_available():
        return NO_DEVICE
    (options.out / "machine").write_text(json.dumps(_machine(options.device)))
    part = PARTS[options.part]
    with (options.out / "rows").open("w") as rows:

        def emit(row: Row) -> None:
            rows.write(json.dumps(asdict(row)) + "\n")
            rows.flush()

        device = torch.device(options.device)
        until = time.monotonic() + options.seconds
        task = Task(device, options.size, until, options.out, options.reference, emit)
        try:
            getattr(importlib.import_module(part.module), part.function)(task)
        except SkippedPartError as reason:
            (options.out / "skipped").write_text(str(reason))
    return 0


if __name__ == "__main__":
    sys.exit(main())
