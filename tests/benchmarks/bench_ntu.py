"""Reading NTU RGB+D's files: this importer beside a plain line-by-line reader, on one core.

    python tests/benchmarks/bench_ntu.py
    python tests/benchmarks/bench_ntu.py --line-ends crlf --json
    python tests/benchmarks/bench_ntu.py --whole 500,2000 --workers 2

Files are made the same every time, in a temporary directory: 60 to 110 frames, a second body in a
quarter of them, numbers with seven significant digits as the sensor's have. Both readers parse a
file and order its bodies by motion, in turn; their numbers are compared first.
``--whole`` imports as many clips (links to the same files) into a packed data set, each time in a
process of its own, and prints the files per second of all of it and the peak memory of the largest
process. Run nothing beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.bodies import motion
from skelcon.data.importers.ntu import Ntu
from skelcon.data.importers.parts import keep_freed_memory
from skelcon.data.importers.source import RawClip

SAMPLES = 16
IMPORT = """
import json, multiprocessing.forkserver, resource, sys, time
from pathlib import Path
from skelcon.data import import_dataset

began = time.perf_counter()
import_dataset(Path(sys.argv[1]), Path(sys.argv[2]), workers=int(sys.argv[3]))
seconds = time.perf_counter() - began
multiprocessing.forkserver._forkserver._stop()  # so that what its processes used is known
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({
    "seconds": seconds,
    "cpu": sum(one.ru_utime + one.ru_stime for one in used),
    "mib": max(one.ru_maxrss for one in used) >> 10,
}))
"""
JOINT_KEYS = ("x", "y", "z", "depth_x", "depth_y", "color_x", "color_y", "w", "qx", "qy", "qz", "s")
BODY_KEYS = ("id", "edges", "lc", "ls", "rc", "rs", "restricted", "lean_x", "lean_y", "state")


def made_up(seed: int) -> str:
    """The text of a clip."""
    rng = np.random.default_rng(seed)
    frames, bodies = int(rng.integers(60, 111)), 2 if seed % 4 == 0 else 1
    start = rng.normal((0.1, -0.2, 3.2), 0.4, (bodies, 1, 25, 3))
    places = start + np.cumsum(rng.normal(0, 0.01, (bodies, frames, 25, 3)), axis=1)
    scale = np.array([200, 200, 1000, 500, 0.3, 0.3, 0.9, 0.1])
    others = np.abs(rng.normal(size=(bodies, frames, 25, 8))) * scale
    numbers = np.concatenate([places, others], axis=-1).astype(np.float32)
    lines = [str(frames)]
    for t in range(frames):
        lines.append(str(bodies))
        for m in range(bodies):
            lines += ["72057594037931101 0 1 1 1 1 0 0.02764709 0.05745083 2", "25"]
            lines += [" ".join(f"{x:.7g}" for x in joint) + " 2" for joint in numbers[m, t]]
    return "\n".join(lines) + "\n"


def plain_reader(path: Path) -> NDArray[np.float64]:
    """(M, T, 25, 3): every line read and every number of it made a float, as is usual."""
    frames = []
    with path.open() as file:
        for _ in range(int(file.readline())):
            bodies = []
            for _ in range(int(file.readline())):
                body = dict(zip(BODY_KEYS, map(float, file.readline().split()), strict=True))
                body["joints"] = [
                    {
                        key: float(value)
                        for key, value in zip(JOINT_KEYS, file.readline().split(), strict=True)
                    }
                    for _ in range(int(file.readline()))
                ]
                bodies.append(body)
            frames.append(bodies)
    clip = np.zeros((4, len(frames), 25, 3))
    for t, bodies in enumerate(frames):
        for m, body in enumerate(bodies[:4]):
            for v, joint in enumerate(body["joints"]):
                clip[m, t, v] = [joint["x"], joint["y"], joint["z"]]
    order = np.argsort(motion(clip), kind="stable")[::-1]
    return clip[order]


def importer(path: Path) -> NDArray[np.floating]:
    """(M, T, 25, 3) as the importer has it."""
    (clip,) = Ntu(path.parent, [path]).read(path)
    assert isinstance(clip, RawClip)
    return clip.coordinates


def clip_name(at: int) -> str:
    """A name of its own for each of very many clips."""
    rest, action = divmod(at, 60)
    rest, performer = divmod(rest, 40)
    setup, camera = divmod(rest, 3)
    return f"S{setup + 1:03d}C{camera + 1:03d}P{performer + 1:03d}R001A{action + 1:03d}.skeleton"


def timed(reader: Callable[[Path], object], path: Path) -> float:
    """Seconds of the processor's time of one call."""
    began = time.process_time()
    reader(path)
    return time.process_time() - began


def compare(files: list[Path], rounds: int) -> dict[str, object]:
    """Medians over all files of each one's best time: what else runs only ever adds to it."""
    for path in files:
        plain, read = plain_reader(path), importer(path)
        assert plain[: len(read)].tobytes() == read.tobytes()
        assert not plain[len(read) :].any()
    keep_freed_memory()  # as an import does
    best: dict[object, list[float]] = {}
    for _ in range(rounds):
        for reader in (plain_reader, importer):
            times = [timed(reader, path) for path in files]
            best[reader] = [min(pair) for pair in zip(times, best.get(reader, times), strict=True)]
    plain_s, importer_s = (statistics.median(best[reader]) for reader in (plain_reader, importer))
    return {
        "files": len(files),
        "kib_a_file": sum(path.stat().st_size for path in files) // len(files) >> 10,
        "plain_ms": round(1e3 * plain_s, 3),
        "importer_ms": round(1e3 * importer_s, 3),
        "plain_files_per_s": round(1 / plain_s, 1),
        "importer_files_per_s": round(1 / importer_s, 1),
        "ratio": round(plain_s / importer_s, 2),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def whole_import(files: list[Path], place: Path, count: int, workers: int) -> dict[str, object]:
    """All of an import, of ``count`` clips."""
    source = place / f"source-{count}"
    source.mkdir()
    for at in range(count):
        os.link(files[at % len(files)], source / clip_name(at))
    command = [sys.executable, "-c", IMPORT, source, place / f"set-{count}", str(workers)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {
        "files": count,
        "workers": workers,
        "files_per_s": round(count / found["seconds"], 1),
        "cpu_ms_a_file": round(1e3 * found["cpu"] / count, 2),
        "peak_mib": found["mib"],
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--line-ends", choices=["lf", "crlf"], default="lf")
    parser.add_argument("--whole", default="", help="numbers of files to import, as 500,2000")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON line a result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        files = [place / "samples" / clip_name(at) for at in range(SAMPLES)]
        files[0].parent.mkdir()
        for at, path in enumerate(files):
            path.write_text(made_up(at), newline="\r\n" if options.line_ends == "crlf" else "\n")
        result = compare(files, options.rounds)
        print(
            json.dumps({"case": "read", "line_ends": options.line_ends, **result})
            if options.json
            else f"plain reader {result['plain_ms']} ms a file ({result['plain_files_per_s']} a "
            f"second), importer {result['importer_ms']} ms ({result['importer_files_per_s']} a "
            f"second): {result['ratio']} times as fast",
            flush=True,
        )
        for count in filter(None, options.whole.split(",")):
            result = whole_import(files, place, int(count), options.workers)
            print(
                json.dumps({"case": "import", **result})
                if options.json
                else f"import of {count} files with {options.workers} processes: "
                f"{result['files_per_s']} files a second, {result['cpu_ms_a_file']} ms of "
                f"processor time a file, at most {result['peak_mib']} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
