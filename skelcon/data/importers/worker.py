"""The main module of a worker: ``python -m skelcon.data.importers.worker PARTS FAMILY SOURCE``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from skelcon.data.importers import detect
from skelcon.data.importers.parts import (
    ImportOptions,
    files_digest,
    keep_freed_memory,
    write_part,
)


def main(directory: Path, family: str, path: Path) -> None:
    """Write each part whose number is read from standard input, and answer with the number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    keep_freed_memory()
    source = detect(path, family)
    if (directory / "files").read_text() != files_digest(source):
        sys.exit(f"the files at '{path}' are changing: import them when they are all there")
    options = ImportOptions.model_validate_json((directory / "options.json").read_text())
    for line in sys.stdin:
        write_part(directory, int(line), source, options)
        print(int(line), file=answers, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
