"""Make the golden files again, after a change of keys, numbers or files that is meant.

    python tests/ablation/golden/make.py            trains all units again (a minute or two)
    python tests/ablation/golden/make.py --tables   makes only the tables again

Says whose keys have changed.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from pathlib import Path

GOLDEN = Path(__file__).parent
sys.path.insert(0, str(GOLDEN.parent))

from ablation_helpers import ablate  # noqa: E402
from test_golden import STUDIES, units_of  # noqa: E402

KEPT = ("data", "results")
LEFT_OUT = ("lock", "claim", "drivers", "running")


def main(tables: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tarfile.open(GOLDEN / "results.tar.xz") as archive:
            members = list(archive) if tables else _only_data(archive)
            archive.extractall(folder, filter="data", members=members)
        for path in (folder / "results").glob("*/*.*") if tables else ():
            if path.is_file():
                path.unlink()
        for study in STUDIES:
            words = ("run", GOLDEN / f"{study}.yaml", "--data", folder / "data", "--seeds", 2)
            ended = ablate(*words, "--preset", "quick", "--results", folder / "results")
            if ended.returncode:
                sys.exit(ended.stderr)
        before = json.loads((GOLDEN / "keys.json").read_text())
        now = units_of(folder)
        (GOLDEN / "keys.json").write_text(json.dumps(now, sort_keys=True) + "\n")
        with tarfile.open(GOLDEN / "results.tar.xz", "w:xz") as archive:
            for part in KEPT:
                archive.add(folder / part, part, filter=_without_traces)
    changed = [each for each in now if now[each] != before.get(each)]
    print(f"{len(changed)} of {len(now)} plans changed: {', '.join(changed)}")


def _only_data(archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    return [member for member in archive if member.name.split("/")[0] == "data"]


def _without_traces(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """A file of the archive: nothing of who made it, and no locks."""
    if Path(member.name).name in LEFT_OUT:
        return None
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main(tables=sys.argv[1:] == ["--tables"])
