"""Units that cannot be read or written are an error of one line; two merges at once are none."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ablation.canonical import digest
from ablation.cli import main
from ablation.store import Store, write_json


def unit(store: Store) -> None:
    """A finished unit, as far as the store looks at it."""
    config = {"unit": "pretrain"}
    key = digest(config)
    directory = store.begin(key, config)
    write_json(directory / "result.json", {"top1": 0.5})
    write_json(directory / "provenance.json", {"seconds": 1.0})
    store.finish(key)


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> Any:
    monkeypatch.setattr("sys.argv", ["skelcon-ablate", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_a_merge_to_a_full_disk_names_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = Store(tmp_path / "a"), Store(tmp_path / "b")
    unit(theirs)
    ours.units.mkdir(parents=True)

    def link(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", str(source), None, str(target))

    def copy(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(target))

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(shutil, "copy2", copy)
    assert run(monkeypatch, "merge", ours.results, theirs.results) == 2
    printed = capsys.readouterr().err
    assert str(ours.units) in printed
    assert str(theirs.units) not in printed


def test_two_merges_at_once_copy_a_unit_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Store(tmp_path / "a"), Store(tmp_path / "b")
    unit(theirs)
    real = Path.rename

    def rename(path: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", real)
        unit(ours)  # by the other command, just before
        return path.rename(target)

    monkeypatch.setattr(Path, "rename", rename)
    assert run(monkeypatch, "merge", ours.results, theirs.results) == 0
    (left,) = ours.units.iterdir()
    assert ours.is_done(left.name)


def test_units_that_cannot_be_listed_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = Store(tmp_path / "a"), Store(tmp_path / "b")
    unit(ours)
    unit(theirs)

    def refusing(real: Any) -> Any:
        def listed(path: Any) -> Any:
            if Path(path).parent.parent == tmp_path:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path)

        return listed

    for name in ("listdir", "scandir"):  # root may read everything
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    for words in (("clean", "--results", ours.results), ("merge", ours.results, theirs.results)):
        assert run(monkeypatch, *words) == 2
        assert "units': Permission denied" in capsys.readouterr().err
