"""Cleaning deletes what no study needs and nothing else; merging copies whole units or none."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from ablation.canonical import digest
from ablation.cli import main
from ablation.store import Store, merging, write_json
from ablation.store.housekeeping import delete, find
from ablation.store.locks import is_held
from ablation.store.merging import merge
from ablation.store.unit_files import LOCK
from ablation.units import RECIPE
from skelcon.errors import UserError


def unit(
    store: Store, number: int, state: str = "done", recipe: int = RECIPE, top1: float = 0.5
) -> str:
    """A unit in a state, as far as the store looks at it."""
    config = {"unit": "pretrain", "recipe": recipe, "n": number}
    key = digest(config)
    directory = store.begin(key, config)
    (directory / "log.txt").write_text("a line\n")
    (directory / "checkpoint.pt").write_bytes(b"c" * 100)
    if state == "done":
        write_json(directory / "result.json", {"top1": top1})
        write_json(directory / "provenance.json", {"seconds": 1.0})
        store.finish(key)
    elif state == "failed":
        store.fail(key, "failed: out of memory")
    return key


def old(path: Path) -> Path:
    os.utime(path, (0, 0))
    return path


def snapshot(root: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in root.rglob("*")
        if p.is_file() and p.name != LOCK
    }


@pytest.fixture
def mess(tmp_path: Path) -> tuple[Store, dict[str, str]]:
    """Every reason to delete, and beside each something that must stay."""
    store = Store(tmp_path / "results")
    keys = {
        "good": unit(store, 1),
        "failed": unit(store, 2, "failed"),
        "started": unit(store, 3, "started"),
        "superseded": unit(store, 4, recipe=RECIPE - 1),
        "newer": unit(store, 5, recipe=RECIPE + 1),
        "checkpoint": unit(store, 6),
    }
    (store.directory(keys["checkpoint"]) / "checkpoint.pt").write_bytes(b"c" * 7)
    old(_touched(store.directory(keys["good"]) / ".config.json.77.tmp"))
    _touched(store.directory(keys["good"]) / ".result.json.78.tmp")  # being written
    (store.units / ("0" * 16)).mkdir()
    old(store.units / ("0" * 16))
    (store.units / ("1" * 16)).mkdir()  # just made by somebody
    copied = store.units / f"{keys['good']}-copy"
    shutil.copytree(store.directory(keys["good"]), copied)
    old(_touched(store.units / ".probe-123"))
    old(_touched(store.units / "my-notes.txt"))
    (store.units / "my-folder").mkdir()
    old(_touched(store.units / "my-folder" / "file"))
    old(store.units / "my-folder")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (store.units / ("2" * 16)).symlink_to(elsewhere)
    (store.results / "augmentations").mkdir()
    (store.results / "augmentations" / ".table.csv.1.tmp").touch()
    return store, keys


def _touched(path: Path) -> Path:
    path.touch()
    return path


def test_everything_is_found_for_its_reason_and_nothing_else(
    mess: tuple[Store, dict[str, str]],
) -> None:
    store, keys = mess
    items, busy = find(store, started=True)
    found = {(item.reason, str(item.path.relative_to(store.units))) for item in items}
    assert found == {
        ("failed", keys["failed"]),
        ("started", keys["started"]),
        ("superseded", keys["superseded"]),
        ("checkpoint", f"{keys['checkpoint']}/checkpoint.pt"),
        ("leftover", f"{keys['good']}/.config.json.77.tmp"),
        ("leftover", ".probe-123"),
        ("orphan", "0" * 16),
        ("orphan", f"{keys['good']}-copy"),
    }
    assert busy == []
    assert {i.size for i in items if i.reason == "checkpoint"} == {7}
    assert "started" not in {item.reason for item in find(store)[0]}
    assert "failed" not in {item.reason for item in find(store, keep_failed=True)[0]}


def test_what_is_deleted_is_what_was_found(mess: tuple[Store, dict[str, str]]) -> None:
    store, keys = mess
    before = snapshot(store.results)
    items, _ = find(store)
    gone, left = delete(store, items)
    assert (gone, left) == (items, [])
    after = snapshot(store.results)
    assert {name: before[name] for name in after} == after
    lost = {Path(name).parts[1] for name in before.keys() - after.keys()}
    assert lost == {
        keys["failed"],
        keys["superseded"],
        keys["checkpoint"],
        keys["good"],
        f"{keys['good']}-copy",
        ".probe-123",
    }
    assert store.is_done(keys["good"])
    assert store.is_done(keys["checkpoint"])
    assert store.is_done(keys["newer"])
    assert store.state(keys["started"]) == "started"
    assert not [p for p in store.units.iterdir() if p.name.endswith(".tmp")]
    assert find(store) == ([], [])


def test_a_unit_that_is_worked_on_is_left_alone(mess: tuple[Store, dict[str, str]]) -> None:
    store, keys = mess
    with store.locked(keys["failed"]) as directory:
        items, busy = find(store)
        assert busy == [directory]
        assert directory not in [item.path for item in items]
    items, _ = find(store)
    with store.locked(keys["failed"]):  # taken up between the look and the deletion
        _, left = delete(store, items)
    assert [item.path.name for item in left] == [keys["failed"]]
    assert store.state(keys["failed"]) == "failed"


def test_a_unit_that_was_finished_meanwhile_is_left(mess: tuple[Store, dict[str, str]]) -> None:
    store, keys = mess
    items, _ = find(store)
    store.finish(keys["failed"])
    _, left = delete(store, items)
    assert [item.path.name for item in left] == [keys["failed"]]
    assert store.is_done(keys["failed"])


def test_what_a_worker_that_was_killed_as_it_finished_has_left_is_deleted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = unit(store, 1)
    left = {_touched(store.directory(key) / name) for name in ("begun.jsonl", "claim")}
    items, _ = find(store)
    assert {(item.reason, item.path) for item in items} == {("leftover", path) for path in left}
    delete(store, items)
    assert find(store) == ([], [])
    assert store.damage(key, thorough=True) is None


def test_files_that_disappear_meanwhile_do_not_end_a_clean(
    mess: tuple[Store, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, keys = mess
    real = Path.stat

    def stat(path: Path, **how: bool) -> os.stat_result:
        if path.name == ".config.json.77.tmp":  # it has just been renamed by its writer
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return real(path, **how)

    monkeypatch.setattr(Path, "stat", stat)
    items, _ = find(store)
    assert keys["failed"] in {item.path.name for item in items}
    assert ".config.json.77.tmp" not in {item.path.name for item in items}


def test_no_file_is_open_in_what_is_deleted(
    mess: tuple[Store, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS renames an open file in place of deleting it, and its directory cannot be deleted."""
    store, _ = mess
    real, held = shutil.rmtree, []

    def rmtree(path: Path) -> None:
        held.append(is_held(path))
        real(path)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    delete(store, find(store)[0])
    assert held
    assert not any(held)


def test_a_clean_that_is_killed_leaves_no_half_unit(
    mess: tuple[Store, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, keys = mess

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    items = [item for item in find(store)[0] if item.reason == "superseded"]
    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        delete(store, items)
    monkeypatch.undo()
    assert store.state(keys["superseded"]) == "absent"
    (leftover,) = [p for p in store.units.iterdir() if ".clean-" in p.name]
    assert (leftover / "DONE").exists()
    old(leftover)
    delete(store, find(store)[0])
    assert not leftover.exists()


def _main(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["skelcon-ablate", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return end.value.code


def test_clean_shows_and_deletes_only_when_confirmed(
    mess: tuple[Store, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, keys = mess
    before = snapshot(store.results)
    assert _main(monkeypatch, "clean", "--results", store.results) == 0
    printed = capsys.readouterr().out
    assert "failed: 1, " in printed
    assert keys["failed"] in printed
    assert "Nothing was deleted" in printed
    assert _main(monkeypatch, "clean", "--results", store.results, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["deleted_bytes"] == 0
    assert document["bytes"] == sum(item["bytes"] for item in document["items"]) > 0
    assert snapshot(store.results) == before
    words = ("clean", "--results", store.results, "--yes", "--keep-failed", "--started")
    assert _main(monkeypatch, *words) == 0
    assert "Deleted 7, " in capsys.readouterr().out
    assert store.state(keys["failed"]) == "failed"
    assert store.state(keys["started"]) == "absent"
    assert _main(monkeypatch, "clean", "--results", store.results / "nowhere") == 2
    assert "holds no units" in capsys.readouterr().err


# -- merge ------------------------------------------------------------------------------------


def test_a_merge_copies_what_is_missing_and_says_what_differs(tmp_path: Path) -> None:
    ours, theirs = Store(tmp_path / "a"), Store(tmp_path / "b")
    same, differs = unit(ours, 1), unit(ours, 2)
    unit(theirs, 1)
    unit(theirs, 2, top1=0.7)
    missing, begun, failed = unit(theirs, 3), unit(theirs, 4), unit(theirs, 5)
    unit(ours, 4, "started")
    unit(ours, 5, "failed")
    unit(theirs, 6, "failed")
    unit(theirs, 7, "started")
    damaged, renamed = unit(theirs, 8), unit(theirs, 9)
    (theirs.directory(damaged) / "result.json").write_text("{")
    theirs.directory(renamed).rename(theirs.directory("f" * 16))
    before = snapshot(theirs.results)
    merged = merge(ours, theirs)
    assert set(merged.copied) == {missing, begun, failed}
    assert merged.there == [same]
    assert merged.conflicts == [differs]
    assert {key for key, _ in merged.damaged} == {damaged, "f" * 16}
    assert merged.busy == []
    assert ours.result(differs) == {"top1": 0.5}
    assert {p.name for p in ours.units.iterdir()} == {same, differs, missing, begun, failed}
    for key in merged.copied:
        assert snapshot(ours.directory(key)) == snapshot(theirs.directory(key))
        assert ours.state(key) == "done"
    assert snapshot(theirs.results) == before
    # A log is written to in place: the two must not share one. The rest costs no disk.
    first, second = (store.directory(missing) for store in (ours, theirs))
    assert not (first / "log.txt").samefile(second / "log.txt")
    assert (first / "result.json").samefile(second / "result.json")
    assert merge(ours, theirs).copied == []


def test_a_merge_across_file_systems_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Store(tmp_path / "a"), Store(tmp_path / "b")
    key = unit(theirs, 1)

    def other_device(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_device)
    assert merge(ours, theirs).copied == [key]
    assert snapshot(ours.results) == snapshot(theirs.results)


def test_a_merge_that_is_killed_leaves_no_half_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Store(tmp_path / "a"), Store(tmp_path / "b")
    key = unit(theirs, 1)
    unit(ours, 1, "started")
    copied: list[str] = []

    def copy(source: Path, target: Path) -> None:
        copied.append(source.name)
        if len(copied) == 3:
            raise KeyboardInterrupt
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(merging, "_link_or_copy", copy)
    with pytest.raises(KeyboardInterrupt):
        merge(ours, theirs)
    assert ours.state(key) == "started"
    monkeypatch.undo()
    assert merge(ours, theirs).copied == [key]


def test_a_merge_leaves_what_is_worked_on(tmp_path: Path) -> None:
    ours, theirs = Store(tmp_path / "a"), Store(tmp_path / "b")
    key = unit(theirs, 1)
    unit(ours, 1, "started")
    with ours.locked(key):
        assert merge(ours, theirs).busy == [key]
    assert ours.state(key) == "started"
    with pytest.raises(UserError, match="are the same directory"):
        merge(ours, ours)
    with pytest.raises(UserError, match="holds no units"):
        merge(ours, Store(tmp_path / "nowhere"))


def test_the_command_merges_several_and_fails_on_a_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = [Store(tmp_path / name) for name in "abc"]
    keys = [unit(store, number) for number, store in enumerate(stores)]
    everything = tmp_path / "all"
    words = [store.results for store in stores]
    assert _main(monkeypatch, "merge", *words, "--into", everything, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["copied"] for each in document["merged"]] == [[key] for key in keys]
    unit(stores[1], 0, top1=0.1)
    assert _main(monkeypatch, "merge", *words[:2]) == 1
    printed = capsys.readouterr().out
    assert f"{keys[0][:8]}: '{stores[1].results}' has different numbers" in printed
    assert _main(monkeypatch, "merge", words[0]) == 2


def test_a_moved_or_copied_directory_is_found_done(tmp_path: Path) -> None:
    store = Store(tmp_path / "here")
    key = unit(store, 1)
    shutil.copytree(store.results, tmp_path / "copy")
    store.results.rename(tmp_path / "moved")
    for name in ("copy", "moved"):
        assert Store(tmp_path / name).is_done(key)
        assert Store(tmp_path / name).result(key) == {"top1": 0.5}
        assert find(Store(tmp_path / name)) == ([], [])
