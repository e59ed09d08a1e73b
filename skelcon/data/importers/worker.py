"""The main module of a worker: ``python -m skelcon.data.importers.worker PARTS FAMILY SOURCE``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from skelcon.data.importers import detect
from skelcon.data.importers.parts import ImportOptions, write_part


def main(directory: Path, family: str, path: Path) -> None:
    """Write each part whose number is read from standard input, and answer with the number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    source = detect(path, family)
    options = ImportOptions.model_validate_json((directory / "options.json").read_text())
    for line in sys.stdin:
        write_part(directory, int(line), source, options)
        print(int(line), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
