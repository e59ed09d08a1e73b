"""The same question extends a table, a different one has a table of its own; none is replaced."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ablation.plan import Plan, make_plan
from ablation.report.from_results import load_plan, merge_studies, save_plan
from ablation.report.questions import asked, place_of, same_question
from ablation.study import Study, load_study
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError


@pytest.fixture
def study(study_file: Path) -> Study:
    return load_study(study_file)


def plan_of(study: Study, dataset: SkeletonDataset, **changes: Any) -> Plan:
    return make_plan(study, dataset, **{"preset": "small", "seeds": (0,), **changes})


def test_more_seeds_other_rows_and_other_words_are_the_same_question(
    study: Study, dataset: SkeletonDataset
) -> None:
    first = asked(plan_of(study, dataset))
    assert same_question(first, asked(plan_of(study, dataset, seeds=(0, 1, 2))))
    assert same_question(first, asked(plan_of(study.only(("none",)), dataset)))
    renamed = study.model_copy(update={"title": "Another title", "notes": ("A note.",)})
    assert same_question(first, asked(plan_of(renamed, dataset)))


OTHERS: dict[str, dict[str, Any]] = {
    "paper": {"preset": "paper"},
    "validation": {"evaluate_on": "validation"},
    "linear.epochs=2": {"overrides": {"linear": {"epochs": 2}}},
    "xsub": {"protocol": "xsub"},
}


@pytest.mark.parametrize("word", OTHERS)
def test_a_different_question_gets_a_directory_named_after_what_differs(
    study: Study, eight: SkeletonDataset, tmp_path: Path, word: str
) -> None:
    plan = plan_of(study, eight)
    assert place_of(plan, tmp_path).directory == tmp_path / "tiny"
    save_plan(plan, tmp_path, tmp_path / "tiny")
    other = plan_of(study, eight, **OTHERS[word])
    found = place_of(other, tmp_path)
    assert (found.directory, found.earlier) == (tmp_path / f"tiny-{word}", None)
    assert "holds a table that differs in" in found.message
    save_plan(other, tmp_path, found.directory)
    # Both are found again, with more seeds too.
    for each in (plan, other):
        grown = make_plan_again(each, seeds=(0, 1))
        again = place_of(grown, tmp_path)
        assert again.earlier is not None
        assert again.earlier["seeds"] == [0]
        assert not again.message
    assert load_plan(tmp_path, f"tiny-{word}").units.keys() == other.units.keys()


def make_plan_again(plan: Plan, seeds: tuple[int, ...]) -> Plan:
    return make_plan(
        plan.study,
        plan.dataset,
        preset=plan.preset,
        seeds=seeds,
        protocol=plan.asked_protocol,
        evaluate_on=plan.evaluate_on,
        overrides=plan.overrides,
    )


def test_other_data_and_changed_rows_are_different_questions(
    study: Study, dataset: SkeletonDataset, eight: SkeletonDataset, tmp_path: Path
) -> None:
    plan = plan_of(study, dataset)
    save_plan(plan, tmp_path, tmp_path / "tiny")
    other = place_of(plan_of(study, eight), tmp_path)
    assert other.directory.name == f"tiny-{eight.fingerprint[:4]}"  # of the same name
    row = study.rows["none"].model_copy(update={"set": {"pretrain.augment.use": ["pose"]}})
    changed = study.model_copy(update={"rows": {**study.rows, "none": row}})
    found = place_of(plan_of(changed, dataset), tmp_path)
    assert found.directory != tmp_path / "tiny"
    assert "differs in rows" in found.message
    column = study.columns["seq"].model_copy(update={"task": "knn"})
    changed = study.model_copy(update={"columns": {**study.columns, "seq": column}})
    assert place_of(plan_of(changed, dataset), tmp_path).directory != tmp_path / "tiny"
    # A row that is new leaves the question as it is.
    more = study.model_copy(update={"rows": {**study.rows, "pose": row}})
    assert place_of(plan_of(more, dataset), tmp_path).directory == tmp_path / "tiny"


def test_sections_of_a_preset_that_no_cell_uses_do_not_change_the_question(
    study: Study, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    """The earlier question was written by a version without these sections."""

    def before(plan: Plan, *paths: str) -> dict[str, Any]:
        values = copy.deepcopy(asked(plan))
        for path in paths:
            *above, last = path.split(".")
            tree = values["preset"]["tree"]
            for name in above:
                tree = tree[name]
            del tree[last]
        return values

    def changed(**values: Any) -> Plan:
        column = study.columns["seq"].model_copy(update=values)
        columns = {**study.columns, "seq": column}
        return plan_of(study.model_copy(update={"columns": columns}), dataset)

    new = ("mlp", "robustness", "pretrain.encoders.stgcn", "pretrain.encoders.ctrgcn")
    plan, mlp = plan_of(study, dataset), changed(task="mlp")
    graph = changed(set={"pretrain.encoders.custom.stg.encoder": "ctrgcn"})
    earlier = before(plan, *new)
    assert same_question(earlier, asked(plan))
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "study.json").write_text(json.dumps(earlier))
    assert place_of(plan, tmp_path).directory == tmp_path / "tiny"
    for other, own in ((plan, "linear"), (plan, "pretrain.encoders.seq"), (mlp, "mlp")):
        assert not same_question(before(other, own), asked(other))
    assert same_question(before(graph, "pretrain.encoders.stgcn"), asked(graph))
    assert not same_question(before(graph, "pretrain.encoders.ctrgcn"), asked(graph))


def test_a_name_that_holds_a_different_question_is_an_error(
    study: Study, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    plan, other = plan_of(study, dataset), plan_of(study, dataset, preset="paper")
    save_plan(plan, tmp_path, tmp_path / "mine")
    assert place_of(plan, tmp_path, "mine").earlier is not None
    with pytest.raises(UserError, match=r"--name mine: .* differs in preset: choose another"):
        place_of(other, tmp_path, "mine")
    assert place_of(other, tmp_path, "yours").directory == tmp_path / "yours"


def test_a_merge_adds_up_the_same_question_and_keeps_others_separate(
    study: Study, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    into, source = tmp_path / "into", tmp_path / "source"
    save_plan(plan_of(study.only(("none",)), dataset), into, into / "tiny")
    more = plan_of(study.only(("crop+jitter", "random")), dataset, seeds=(1,))
    save_plan(more, source, source / "tiny")
    merge_studies(into, source)
    united = load_plan(into, "tiny")
    assert united.seeds == (0, 1)
    assert set(united.study.all_rows) == {"none", "crop+jitter", "random"}
    other = plan_of(study, dataset, preset="paper")
    save_plan(other, source, source / "tiny")
    merge_studies(into, source)
    assert load_plan(into, "tiny").preset.name == "small"
    (apart,) = into.glob("tiny-*")
    assert load_plan(into, apart.name).preset.name == "paper"


def test_a_merge_completes_a_header_that_was_copied_in_part(
    study: Study, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    plan, into, source = plan_of(study, dataset), tmp_path / "into", tmp_path / "source"
    save_plan(plan, source, source / "tiny")
    part = Path("data") / dataset.fingerprint / "index.npz"
    (into / part).parent.mkdir(parents=True)
    shutil.copyfile(source / part, into / part)
    merge_studies(into, source)
    assert load_plan(into, "tiny").units.keys() == plan.units.keys()


def test_two_commands_that_end_at_once_both_write_their_table(
    study: Study, dataset: SkeletonDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, replace = plan_of(study, dataset), Path.replace
    others = [lambda: save_plan(plan, tmp_path, tmp_path / "tiny")]

    def late(path: Path, target: Path) -> Path:
        if others:
            others.pop()()  # the other command is faster
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", late)
    save_plan(plan, tmp_path, tmp_path / "tiny")
    assert not others
    assert load_plan(tmp_path, "tiny").units.keys() == plan.units.keys()
    assert not list(tmp_path.rglob(".*"))
