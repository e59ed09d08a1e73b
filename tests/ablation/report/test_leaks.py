"""Test clips that repeat a training clip: they are found, noted, and can be excluded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claim_helpers import finish
from study_helpers import write_utd

from ablation.evidence.hits import hits_of
from ablation.plan import make_plan
from ablation.report import cells_frame, make_table
from ablation.report.from_results import load_plan, save_plan
from ablation.store import Store
from ablation.study import load_study
from skelcon.cli.program import main
from skelcon.data import import_dataset, leaking_clips

LEAKS = (("a1_s1_t1", "a1_s2_t1"), ("a2_s1_t1", "a2_s2_t1"), ("a2_s3_t1", "a1_s4_t1"))
"""A training clip, and the test clip that becomes the same file."""


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    folder = write_utd(tmp_path / "utd", subjects=4)
    for source, target in LEAKS:
        (one,) = folder.rglob(f"{source}_skeleton.mat")
        (other,) = folder.rglob(f"{target}_skeleton.mat")
        other.write_bytes(one.read_bytes())
    return folder


def test_a_note_counts_the_leaking_clips_and_has_the_numbers_without_them(
    leaking: Path, study_file: Path, tmp_path: Path
) -> None:
    dataset = import_dataset(leaking, tmp_path / "packed")[0]
    found = leaking_clips(dataset)
    names = {dataset.clip_names[clip] for clip in found["xsub"]}
    assert names == {target for _, target in LEAKS}
    plan = make_plan(load_study(study_file), dataset, preset="small", seeds=(0, 1))
    store = Store(tmp_path / "r")
    finish(plan, store, {"none": 0.6})
    save_plan(plan, store.results, store.results / "tiny")
    # From the results alone, as after a merge: the data is not needed again.
    plan = load_plan(store.results, "tiny")
    table = make_table(plan, cells_frame(plan, store), store)
    (note,) = [note for note in table.notes if "bit-identical to a training clip" in note]
    tested = int((dataset.splits["xsub"] == 1).sum())
    assert note.startswith(f"3 of {tested} test clips (xsub) are bit-identical to a training clip.")
    own = hits_of(plan, store)["none", "img"]
    clean = own.hits[:, ~np.isin(own.clips, found["xsub"])].mean()
    assert f"Without them (IMG / SEQ): none {100 * clean:.1f} / " in note


def test_without_leaks_there_is_no_note(
    utd: Path, study_file: Path, tmp_path: Path, dataset: Any
) -> None:
    assert leaking_clips(dataset) == {}
    plan = make_plan(load_study(study_file), dataset, preset="small", seeds=(0,))
    store = Store(tmp_path / "r")
    finish(plan, store, {})
    save_plan(plan, store.results, store.results / "tiny")
    notes = make_table(plan, cells_frame(plan, store), store).notes
    assert not any("training clip" in note for note in notes)


def test_leaking_clips_can_be_excluded_with_one_option(
    leaking: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    def skelcon(*words: object) -> int:
        monkeypatch.setattr("sys.argv", ["skelcon", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    names = tmp_path / "leaks.txt"
    assert skelcon("data", "check", leaking, "--write-exclude", names) == 1
    assert f"3 names written to '{names}'" in " ".join(capsys.readouterr().out.split())
    assert names.read_text().split() == sorted(target for _, target in LEAKS)
    assert skelcon("data", "import", leaking, tmp_path / "clean", "--exclude", names) == 0
    assert skelcon("data", "check", tmp_path / "clean") == 0
