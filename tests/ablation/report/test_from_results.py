"""A study's plan from its results directory without the data, also after a merge."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ablation.cli import main
from ablation.plan import Plan, make_plan
from ablation.report.from_results import load_plan, merge_studies, save_plan
from ablation.study import load_study
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError


def asked(
    dataset: SkeletonDataset,
    file: Path,
    results: Path,
    seeds: tuple[int, ...],
    preset: str = "paper",
) -> Plan:
    study = load_study(file).only(("crop+jitter",))
    plan = make_plan(study, dataset, preset=preset, seeds=seeds)
    save_plan(plan, results, results / study.name)
    return plan


def test_a_plan_comes_back_without_the_frames(
    dataset: SkeletonDataset, study_file: Path, tmp_path: Path
) -> None:
    plan = asked(dataset, study_file, tmp_path, (0, 3))
    again = load_plan(tmp_path, "tiny")
    assert not list(tmp_path.rglob("frames.npy"))
    assert list(again.units) == list(plan.units)
    assert [cell.unit for cell in again.cells] == [cell.unit for cell in plan.cells]
    assert (again.seeds, again.protocol, again.study.rows) == ((0, 3), "xsub", plan.study.rows)


def test_seeds_of_the_same_question_add_up_and_a_different_one_is_kept(
    dataset: SkeletonDataset, study_file: Path, tmp_path: Path
) -> None:
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    first = asked(dataset, study_file, one, (0,))
    second = asked(dataset, study_file, two, (1, 2))
    asked(dataset, study_file, other, (5,), preset="quick")
    for source in (two, other):
        merge_studies(one, source)
    merged = load_plan(one, "tiny")
    assert (merged.seeds, merged.preset.name) == ((0, 1, 2), "paper")
    assert set(merged.units) == {*first.units, *second.units}
    merge_studies(empty := tmp_path / "empty", two)
    assert load_plan(empty, "tiny").seeds == (1, 2)


def test_unknown_and_damaged_tables_are_errors_of_one_line(
    dataset: SkeletonDataset, study_file: Path, tmp_path: Path
) -> None:
    asked(dataset, study_file, tmp_path, (0,))
    with pytest.raises(UserError, match="has no study 'tony': did you mean 'tiny'"):
        load_plan(tmp_path, "tony")
    (tmp_path / "tiny").rename(tmp_path / "other-name")
    with pytest.raises(UserError, match=r"tables of study 'tiny' in '.*' are other-name: name one"):
        load_plan(tmp_path, "tiny")
    (tmp_path / "other-name").rename(tmp_path / "tiny")
    (header,) = tmp_path.glob("data/*/index.npz")
    header.write_bytes(b"")
    with pytest.raises(UserError, match="is not the header of a data set"):
        load_plan(tmp_path, "tiny")
    (tmp_path / "tiny" / "study.json").write_text('{"study": {}}')
    with pytest.raises(UserError, match=r"study\.json' is damaged"):
        load_plan(tmp_path, "tiny")


CHANGES: dict[str, dict[str, object]] = {
    "study": {"study": None},
    "seeds": {"seeds": "x"},
    "set": {"set": None},
    "preset": {"preset": None},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_question_of_other_types_is_damaged_and_left_out_of_the_list(
    dataset: SkeletonDataset,
    study_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    asked(dataset, study_file, tmp_path, (0,))
    shutil.copytree(tmp_path / "tiny", tmp_path / "other")
    path = tmp_path / "tiny" / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | CHANGES[name]))
    with pytest.raises(UserError, match=f"'{path}' is damaged \\({name} is missing"):
        load_plan(tmp_path, "tiny")
    monkeypatch.setattr("sys.argv", ["skelcon-ablate", "list", "--results", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code == 0
    assert [line.split()[0] for line in printed.out.splitlines()] == ["other"]
    assert f"left out 'tiny': '{path}' is damaged" in printed.err


def test_references_alone_are_a_table_too(
    dataset: SkeletonDataset, study_file: Path, tmp_path: Path
) -> None:
    plan = make_plan(load_study(study_file).only(("random",)), dataset, preset="small", seeds=(0,))
    save_plan(plan, tmp_path, tmp_path / plan.study.name)
    again = load_plan(tmp_path, plan.study.name)
    assert list(again.study.all_rows) == ["random"]
    assert again.units == plan.units
