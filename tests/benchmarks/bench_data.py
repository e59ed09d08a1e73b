"""A data set of the size of NTU-60: bytes on disk, time to open, memory to gather batches.

    python tests/benchmarks/bench_data.py --clips 2000
    python tests/benchmarks/bench_data.py --json

Writes random walks of realistic lengths (30 to 300 frames, 84 on average, a second body in 18 % of
the clips) through `DatasetWriter` to a temporary directory (2 GB for all 56,880 clips; ``--dir``
says where), and measures in fresh processes. Limits: a fifth of the bytes of the padded float32
array that circulates (N, 3, 300, 25, 2), and one second to open. Exit code 1 where one is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from skelcon.data import KINECT_V2, ClipBank, ClipInfo, DatasetWriter, Normalisation
from skelcon.data import SkeletonDataset as Dataset

CLIPS = 56_880
BATCH, FRAMES, BATCHES = 64, 64, 100


def lengths_and_bodies(rng: np.random.Generator, clips: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) frames and (N,) bodies of the clips."""
    lengths = np.clip(30 + rng.gamma(2.3, 54 / 2.3, clips), 30, 300).round().astype(int)
    return lengths, 1 + (rng.random(clips) < 0.18)


def write(path: Path, clips: int) -> float:
    """Write the data set; seconds."""
    rng = np.random.default_rng(0)
    lengths, bodies = lengths_and_bodies(rng, clips)
    # One long walk of all joints: every clip is a stretch of it, moved by a draw of its own.
    walk = rng.normal(0, 0.02, (20_000, 25, 3)).astype(np.float32).cumsum(axis=0)
    starts = rng.integers(0, len(walk) - 300, (clips, 2))
    moves = rng.normal(0, 1, (clips, 2, 25, 3)).astype(np.float32)
    began = time.perf_counter()
    with DatasetWriter(
        path,
        name="benchmark",
        layout=KINECT_V2,
        family="made",
        normalisation=Normalisation(),
        class_names=[f"class {label}" for label in range(60)],
        synthetic=True,
    ) as writer:
        for clip in range(clips):
            label, subject, camera = clip % 60, 1 + clip // 60 % 40, 1 + clip // 2400 % 3
            name = f"S001C{camera:03d}P{subject:03d}R{clip // 7200:03d}A{label + 1:03d}"
            info = ClipInfo(name, label, subject, camera, 1)
            spans = starts[clip, : bodies[clip], None] + np.arange(lengths[clip])
            writer.add(info, walk[spans] + moves[clip, : bodies[clip], None])
        sides = {
            "xsub": np.array([info.subject % 2 == 0 for info in writer.infos]),
            "xview": np.array([info.camera == 1 for info in writer.infos]),
        }
        writer.close(sides)
    return time.perf_counter() - began


def resident() -> dict[str, int]:
    """Bytes of this process in memory: its own (anonymous), and pages of mapped files."""
    with Path("/proc/self/status").open() as status:
        lines = (line.split() for line in status if line.startswith("Rss"))
        return {line[0].rstrip(":"): 1024 * int(line[1]) for line in lines}


def measure(path: Path) -> dict[str, float]:
    """What it takes to open the data set and to gather batches of whole clips, resized."""
    import torch

    torch.set_num_threads(1)
    before = resident()
    began = time.perf_counter()
    dataset = Dataset.open(path)
    opened = time.perf_counter() - began
    bank = ClipBank(dataset)
    ready = time.perf_counter() - began
    draws = torch.Generator().manual_seed(0)
    times, size = [], 0
    for _ in range(BATCHES):
        clips = torch.randint(len(dataset), (BATCH,), generator=draws)
        began = time.perf_counter()
        view = bank.resized(clips, torch.zeros_like(clips), bank.lengths[clips], FRAMES)
        times.append(time.perf_counter() - began)
        size = view.numel() * view.element_size()
    after = resident()
    return {
        "open_s": opened,
        "bank_s": ready,
        "batch_ms": 1e3 * statistics.median(times),
        "batch_bytes": size,
        "anonymous_bytes": after["RssAnon"] - before["RssAnon"],
        "file_bytes": after["RssFile"] - before["RssFile"],
    }


def in_fresh_process(path: Path) -> dict[str, float]:
    """:func:`measure` where nothing has been opened before."""
    printed = subprocess.run(
        [sys.executable, __file__, "--measure", str(path)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    measured: dict[str, float] = json.loads(printed.stdout)
    return measured


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--dir", type=Path, help="where the temporary directory is made")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        path = Path(directory) / "set"
        write_s = write(path, options.clips)
        size = sum(file.stat().st_size for file in path.iterdir())
        rows = len(Dataset.open(path).frames)
        measured = in_fresh_process(path)
    padded = options.clips * 3 * 300 * 25 * 2 * 4
    missed = [
        text
        for text, bad in (
            ("more than a fifth of the padded array's bytes", size > padded / 5),
            ("more than 1 s to open", measured["open_s"] > 1),
        )
        if bad
    ]
    answer = {
        "clips": options.clips,
        "body_frames": rows,
        "write_s": round(write_s, 2),
        "disk_bytes": size,
        "padded_bytes": padded,
        "share_of_padded": round(size / padded, 4),
        **{name: round(value, 3) for name, value in measured.items()},
        "missed": missed,
    }
    if options.json:
        print(json.dumps(answer))
    else:
        megabytes = {name: answer[name] / 1e6 for name in answer if name.endswith("_bytes")}
        print(f"clips           {options.clips:,} ({rows:,} frames of bodies)")
        print(f"written in      {write_s:.1f} s")
        print(
            f"on disk         {megabytes['disk_bytes']:,.0f} MB, {100 * size / padded:.1f} % of "
            f"the padded array's {megabytes['padded_bytes']:,.0f} MB"
        )
        print(
            f"open            {1e3 * measured['open_s']:.0f} ms "
            f"({1e3 * measured['bank_s']:.0f} ms with its bank)"
        )
        print(
            f"a batch of {BATCH}   {measured['batch_ms']:.2f} ms, {megabytes['batch_bytes']:.1f} MB"
        )
        print(
            f"memory          {megabytes['anonymous_bytes']:.1f} MB of its own after {BATCHES} "
            f"batches, {megabytes['file_bytes']:.0f} MB of the file's cached pages"
        )
        print(f"missed          {'; '.join(missed) or 'nothing'}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
