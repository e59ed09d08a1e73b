"""What takes processes of their own: a share of the memory, two ranks, Ray, the authors' code."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from gpu_cases import (
    SkippedPartError,
    Task,
    bank_of,
    difference,
    pretrain_config,
)
from gpu_page import Row

from skelcon.pretrain import Pretraining
from skelcon.pretrain.distributed import ProcessGroup, process_group

FRACTION = 0.25
REFERENCE_STEPS = 5


def memory(task: Task) -> None:
    """A process that may take a quarter of the card takes no more, and trains in it."""
    from ablation.work.process import cap_memory

    if task.device.type != "cuda":
        raise SkippedPartError("a CPU has no share of memory")
    total = torch.cuda.get_device_properties(task.device).total_memory
    cap_memory(FRACTION)
    with_room = int(total * (FRACTION - 0.05))
    held = torch.empty(with_room, dtype=torch.uint8, device=task.device)
    task.emit(Row(f"{FRACTION - 0.05:.0%} of the card is given", held.numel() == with_room))
    del held
    torch.cuda.empty_cache()
    try:
        torch.empty(int(total * (FRACTION + 0.05)), dtype=torch.uint8, device=task.device)
        task.emit(Row(f"{FRACTION + 0.05:.0%} of the card is refused", ok=False))
    except torch.OutOfMemoryError:
        task.emit(Row(f"{FRACTION + 0.05:.0%} of the card is refused", ok=True))
    for name in ("img", "stg", "seq"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        config = pretrain_config(task, (name,))
        bank = bank_of(task, 256)
        clips = torch.arange(2 * config.batch).numpy()
        Pretraining(bank, clips, bank.layout, config, seed=0).run_epoch()
        peak = torch.cuda.max_memory_allocated()
        task.emit(
            Row(
                f"pre-training {name} in a quarter",
                peak < FRACTION * total,
                values={"peak, MiB": peak / 2**20, "card, MiB": total / 2**20},
            )
        )


def ranks(task: Task) -> None:
    """Two ranks train what one trains, over NCCL on two GPUs (over gloo on a CPU)."""
    if task.device.type == "cuda" and torch.cuda.device_count() < 2:
        raise SkippedPartError("there is one GPU")
    alone = _epochs(task, ProcessGroup(0, 1), task.device)
    context = torch.multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    spec = (task.device.type, task.size, task.scratch)
    children = [context.Process(target=_rank, args=(rank, *spec, answers)) for rank in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(max(1.0, task.left()))
        if child.exitcode is None:
            child.kill()
            child.join()
    if any(child.exitcode for child in children):
        task.emit(Row("two ranks", ok=False, note=f"exit codes {[c.exitcode for c in children]}"))
        return
    together = dict(answers.get() for _ in range(2))
    far = difference(torch.tensor(together[0]), torch.tensor(alone))
    same = together[0] == together[1]
    task.emit(Row("both ranks report the same loss", same))
    task.emit(Row("losses next to those of one process", far < 1e-3, values={"forward": far}))


def _rank(rank: int, kind: str, size: str, scratch: Path, answers: object) -> None:
    device = torch.device(kind, rank) if kind == "cuda" else torch.device(kind)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    task = Task(device, size, time.monotonic() + 100, scratch, None, lambda row: None)
    group = ProcessGroup(rank, 2)
    with process_group(group, scratch / "meeting", device):
        found = _epochs(task, group, device)
    answers.put((rank, found))  # type: ignore[attr-defined]


def _epochs(task: Task, group: ProcessGroup, device: torch.device) -> list[float]:
    """The losses of two epochs of two steps of all representations."""
    config = pretrain_config(task, ("img", "seq", "stg"), precision="fp32", batch=16, epochs=2)
    bank = bank_of(task, 64, device)
    clips = torch.arange(32).numpy()
    training = Pretraining(bank, clips, bank.layout, config, 0, group)
    return [training.run_epoch().loss for _ in range(2)]


def study(task: Task) -> None:
    """The quick study through Ray: Table 5's two outer rows, two trials on one GPU."""
    missing = [name for name in ("ray", "typer", "optuna") if not importlib.util.find_spec(name)]
    if missing:
        raise SkippedPartError(f"not installed here: {', '.join(missing)}")
    words = ["augmentations", "--only", "none,crop+pose+jitter", "--yes", "--json"]
    if task.tiny:
        words = ["augmentations", "--only", "none", "--yes", "--json"]
        words += ["--set", "pretrain.epochs=1", "--set", "linear.epochs=1"]
        words += ["--set", "linear.crops=1", "--set", "linear.weight_decay=0"]
    if task.device.type == "cuda":
        words += ["--gpus-per-trial", str(FRACTION)]
    words += ["--results", str(task.scratch / "results")]
    for what in ("the quick study", "the same command again"):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", "from ablation.cli import main; main()", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=max(5.0, task.left()),
        )
        seconds = time.perf_counter() - began
        note = "" if done.returncode == 0 else done.stderr.strip()[-300:]
        task.emit(Row(what, done.returncode == 0, note, {"seconds": seconds}))
    provenances = (task.scratch / "results" / "units").glob("*/provenance.json")
    devices = {json.loads(path.read_text())["device"] for path in provenances}
    right = bool(devices) and all(each.startswith(task.device.type) for each in devices)
    task.emit(Row("its units ran on the device", right, ", ".join(sorted(devices))))


def reference(task: Task) -> None:
    """A step of the authors' code, unchanged, on the same clips' size, beside ours."""
    if task.reference is None:
        raise SkippedPartError("no checkout of the authors' code was given (--reference)")
    if not (task.reference / "moco").is_dir():
        raise SkippedPartError(f"'{task.reference}' is not a checkout of the authors' code")
    program = Path(__file__).with_name("gpu_reference.py")
    for name in ("img", "stg", "seq"):
        if task.left() < 15:
            task.emit(Row(name, note="not measured: no time was left"))
            continue
        words = [sys.executable, str(program), str(task.reference), name, str(task.device)]
        done = subprocess.run(
            [*words, str(8 if task.tiny else 64), str(REFERENCE_STEPS)],
            capture_output=True,
            text=True,
            check=False,
            timeout=task.left(),
            env={**os.environ, "PYTHONPATH": str(task.reference)},
        )
        if done.returncode:
            note = (done.stderr.strip().splitlines() or ["no word"])[-1]
            task.emit(Row(name, note=f"the authors' code stopped: {note}"))
            continue
        theirs = float(done.stdout.split()[-1])
        ours = _step_seconds(task, name)
        values = {"theirs, ms": 1e3 * theirs, "ours, ms": 1e3 * ours, "ratio": theirs / ours}
        task.emit(Row(name, values=values))


def _step_seconds(task: Task, name: str) -> float:
    """Ours in float32 at the paper's size, as theirs always is."""
    batch = 8 if task.tiny else 64
    bank = bank_of(task, 512)
    full = Task(task.device, "paper", task.until, task.scratch, None, task.emit)
    config = pretrain_config(full, (name,), batch=batch, precision="fp32")
    clips = torch.arange(batch * REFERENCE_STEPS).numpy()
    training = Pretraining(bank, clips, bank.layout, config, seed=0)
    training.run_epoch()
    began = time.perf_counter()
    training.run_epoch()
    return (time.perf_counter() - began) / REFERENCE_STEPS
