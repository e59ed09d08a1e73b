"""Steps a second by precision, with a profile, beside what this card allows at most."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from count_work import step_work
from gpu_cases import (
    CASES,
    Task,
    bank_of,
    precisions,
    pretrain_config,
    seconds_of,
    wait,
)
from gpu_page import Row
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from skelcon.precision import computing
from skelcon.pretrain import Pretraining

STEPS = 8
PROFILED = 3
SYNCS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


@dataclass(frozen=True)
class Roof:
    """What the device does at most.

    Attributes:
        products: precision -> FLOP a second of a large matrix product.
        copies: bytes a second of a copy, those that are read and those that are written.
    """

    products: dict[str, float]
    copies: float


def run(task: Task) -> None:
    """The roof, then each case while there is time."""
    roof = measured_roof(task)
    for name, representations in CASES.items():
        for precision in precisions(task):
            if task.left() < 8:
                task.emit(Row(f"{name}, {precision}", note="not measured: no time was left"))
                continue
            _case(task, name, representations, precision, roof)


def measured_roof(task: Task) -> Roof:
    """By a product and a copy, long enough to be past any cache."""
    on_gpu, products = task.device.type == "cuda", {}
    size = 8192 if on_gpu else 512
    for precision in precisions(task):
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = (torch.randn(size, size, device=task.device, dtype=dtype) for _ in range(2))
        with computing(precision, task.device):
            seconds = seconds_of(lambda a=a, b=b: a @ b, task.device, 0.5)
        products[precision] = 2 * size**3 / seconds
        tera = products[precision] / 1e12
        task.emit(Row(f"product of {size} x {size}, {precision}", values={"TFLOP/s": tera}))
    source = torch.randn((1 << 28) if on_gpu else (1 << 22), device=task.device)
    target = torch.empty_like(source)
    seconds = seconds_of(lambda: target.copy_(source), task.device, 0.5)
    copies = 2 * source.numel() * source.element_size() / seconds
    task.emit(Row("copy on the device", values={"GB/s": copies / 1e9}))
    return Roof(products, copies)


def _case(
    task: Task, name: str, representations: tuple[str, ...], precision: str, roof: Roof
) -> None:
    steps = 2 if task.tiny else STEPS
    config = pretrain_config(task, representations, precision=precision, epochs=1000)
    bank = bank_of(task, 128 if task.tiny else 1024)

    def training(steps: int) -> Pretraining:
        clips = torch.arange(steps * config.batch).numpy()
        return Pretraining(bank, clips, bank.layout, config, seed=0)

    measured = training(steps)
    measured.run_epoch()  # allocates, and chooses algorithms
    if task.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    wait(task.device)
    began = time.perf_counter()
    measured.run_epoch()
    seconds = (time.perf_counter() - began) / steps
    work = step_work(config)
    peak = roof.products.get(precision, roof.products["fp32"])
    floor = max(work.flop / peak, work.bytes / roof.copies)
    values: dict[str, float | str | None] = {
        "ms a step": 1e3 * seconds,
        "clips/s": config.batch / seconds,
        "floor, ms": 1e3 * floor,
        "of the floor": floor / seconds,
    }
    if task.device.type == "cuda":
        values["peak, MiB"] = torch.cuda.max_memory_allocated() / 2**20
        values |= _profiled(training(PROFILED))
    task.emit(Row(f"{name}, {precision}", values=values))


def _profiled(training: Pretraining) -> dict[str, float]:
    """The share of time in which a kernel runs, kernels and waits a step, over an epoch."""
    training.run_epoch()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        began = time.perf_counter()
        training.run_epoch()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    events = profiler.events() or []
    kernels = [each for each in events if each.device_type == DeviceType.CUDA]
    waits = sum(each.name in SYNCS for each in events)
    busy = sum(each.time_range.elapsed_us() for each in kernels) / 1e6
    return {
        "kernel share": busy / seconds,
        "kernels a step": len(kernels) / PROFILED,
        "waits a step": waits / PROFILED,
    }
