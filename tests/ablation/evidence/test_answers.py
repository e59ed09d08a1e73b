"""Claims: they are read from a study, tested on clips and seeds, and have verdicts."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claim_helpers import finish
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablation.catalogue import known_studies
from ablation.claim import Claim
from ablation.cli import main
from ablation.cli.claims import claims as claims_command
from ablation.evidence.claims import Answer
from ablation.evidence.evidence import Evidence
from ablation.evidence.hits import ClipHits
from ablation.pages.claims import claims_of
from ablation.plan import Plan, make_plan
from ablation.report import Table, cells_frame, make_table
from ablation.report.claims_export import COLUMNS, effect, frame_of, to_json, to_markdown
from ablation.report.from_results import save_plan
from ablation.report.markdown import to_markdown as table_as_markdown
from ablation.report.style import TableStyle
from ablation.statistics import adjusted, difference_of
from ablation.store import Store
from ablation.study import load_study, named_study
from ablation.study_parts import Reported
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError

BETTER = {"text": "Crop and jitter help.", "source": "Table 5", "rows": "crop+jitter > *"}


@pytest.fixture
def make(eight: SkeletonDataset, study_file: Path) -> Callable[..., Plan]:
    """A plan of the small study with these claims."""

    def of(*claims: dict[str, Any], seeds: int = 5, **settings: Any) -> Plan:
        study = load_study(study_file)
        study = study.model_copy(update={"claims": tuple(map(Claim.model_validate, claims))})
        return make_plan(
            study, eight, preset="small", seeds=tuple(range(seeds)), overrides=settings
        )

    return of


def answered(plan: Plan, results: Path, gains: dict[str, float], **noise: float) -> Table:
    store = Store(results)
    finish(plan, store, gains, **noise)
    return make_table(plan, cells_frame(plan, store), store)


def test_a_gain_in_every_subject_holds_and_its_reverse_is_contradicted(
    make: Callable[..., Plan], tmp_path: Path
) -> None:
    plan = make(BETTER, {"text": "They harm.", "rows": "none > crop+jitter", "within": ["seq"]})
    table = answered(plan, tmp_path, {"none": 0.3, "crop+jitter": 0.9})
    better, worse = table.answers
    assert (better.verdict, worse.verdict) == ("holds", "contradicted")
    assert [each.higher for each in better.comparisons] == [
        ("crop+jitter", "img"),
        ("crop+jitter", "seq"),
    ]
    assert all(each.difference and each.difference.value > 0.4 for each in better.comparisons)
    assert any("1 holds, 1 contradicted" in note for note in table.notes)
    assert table.entries["crop+jitter", "seq"].best
    assert not table.entries["none", "seq"].best
    assert (better.why, worse.why) == ("", "")


def test_differences_and_p_values_are_those_of_the_predictions(
    make: Callable[..., Plan], tmp_path: Path
) -> None:
    """Computed again from the files: paired by seed and clip, the largest p, corrected for two."""
    reverse = {"text": "They harm.", "rows": "none > crop+jitter", "within": ["seq"]}
    plan = make(BETTER, reverse)
    table = answered(plan, tmp_path, {"none": 0.5, "crop+jitter": 0.7})
    found: dict[tuple[str, str], list[Any]] = {}
    for cell in plan.cells:
        assert cell.unit is not None
        with np.load(tmp_path / "units" / cell.unit.key / "predictions.npz") as saved:
            right = saved["prediction"] == saved["label"]
            found.setdefault((cell.row, cell.column), []).append(right)
            groups = saved["group"]
    p_values = []
    for column, each in zip(("img", "seq"), table.answers[0].comparisons, strict=True):
        expected = difference_of(
            np.array(found["crop+jitter", column], float),
            np.array(found["none", column], float),
            groups,
        )
        assert each.difference == expected
        assert expected.p is not None
        p_values.append(expected.p)
    first, second = (answer.p for answer in table.answers)
    assert [first, second] == pytest.approx(adjusted([max(p_values), p_values[1]]))


def test_noise_is_not_shown_and_says_how_many_seeds_would_be_enough(
    make: Callable[..., Plan], tmp_path: Path
) -> None:
    plan = make({"text": "A little.", "rows": "crop+jitter > none", "within": ["seq"]}, seeds=3)
    table = answered(plan, tmp_path, {"none": 0.5, "crop+jitter": 0.56}, of_seeds=0.2)
    (answer,) = table.answers
    assert answer.verdict == "not shown"
    assert answer.p is not None
    assert answer.p > 0.05
    assert "more seed" in answer.why or "other way" in answer.why or "100 seeds" in answer.why
    assert table.entries["none", "seq"].best
    assert table.entries["crop+jitter", "seq"].best


def test_one_seed_shows_nothing_however_large_the_difference(
    make: Callable[..., Plan], tmp_path: Path
) -> None:
    table = answered(make(BETTER, seeds=1), tmp_path, {"none": 0.1, "crop+jitter": 0.9})
    (answer,) = table.answers
    assert all(each.difference and each.difference.value > 0.5 for each in answer.comparisons)
    assert [each.p for each in answer.comparisons] == [None, None]
    assert answer.verdict == "not shown"
    assert answer.why == "one seed says nothing about other training runs: run more seeds"


def test_with_unequal_budgets_or_missing_numbers_a_claim_is_not_shown(
    make: Callable[..., Plan], study_file: Path, eight: SkeletonDataset, tmp_path: Path
) -> None:
    plan = make(BETTER)
    rows = dict(plan.study.rows)
    longer = rows["none"].model_copy(update={"set": {**rows["none"].set, "pretrain.batch": 6}})
    base = {key: value for key, value in plan.study.base.items() if key != "pretrain.batch"}
    rows = {
        "none": longer,
        "crop+jitter": rows["crop+jitter"].model_copy(
            update={"set": {**rows["crop+jitter"].set, "pretrain.batch": 8}}
        ),
    }
    study = plan.study.model_copy(update={"rows": rows, "base": base})
    other = make_plan(study, eight, preset="small", seeds=plan.seeds)
    (answer,) = answered(other, tmp_path / "a", {"none": 0.3, "crop+jitter": 0.9}).answers
    assert answer.verdict == "not shown"
    assert answer.why == "not pre-trained for the same number of steps"
    (answer,) = make_table(plan, cells_frame(plan, Store(tmp_path / "b"))).answers
    assert answer.verdict == "not shown"
    assert answer.why.startswith("2 comparisons missing: ")


def test_reported_rows_are_compared_on_the_papers_data_only(
    make: Callable[..., Plan], tmp_path: Path
) -> None:
    plan = make()
    report = plan.study.paper[0].model_copy(
        update={"others": {"su": Reported(label="Su et al.", values={"seq": 59.3})}}
    )
    claim = Claim(text="Better than others.", rows="crop+jitter > su")
    study = plan.study.model_copy(update={"paper": (report,), "claims": (claim,)})
    other = make_plan(study, plan.dataset, preset="small", seeds=plan.seeds)
    (answer,) = answered(other, tmp_path, {"none": 0.3, "crop+jitter": 0.9}).answers
    assert len(answer.comparisons) == 1  # there is no value of theirs in IMG
    assert answer.verdict == "not shown"
    assert "has other data" in answer.why
    # Beside synthetic data the table has no reported rows, and its claims still have.
    synthetic = replace(other, dataset=replace(other.dataset, synthetic=True))
    table = make_table(synthetic, cells_frame(synthetic, Store(tmp_path)))
    assert not table.reported
    (claim_on_page,) = claims_of(table)
    assert [each.pair for each in claim_on_page.comparisons] == ["crop+jitter vs. Su et al. (SEQ)"]


def test_every_claim_of_the_papers_tables_names_what_is_there() -> None:
    studies = [named_study(name) for name in known_studies()]
    assert all(study.claims for study in studies if study.reproduces)
    assert sum(bool(study.claims) for study in studies) >= 10


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"text": "x", "rows": "none > jiter"}, "no 'jiter'"),
        ({"text": "x", "rows": "none"}, "write 'a, b > c'"),
        ({"text": "x", "rows": "none > "}, "write 'a, b > c'"),
        ({"text": "x", "rows": "none > none"}, "stands there twice"),
        ({"text": "x", "rows": "none > *", "columns": "seq > img"}, "give one of them"),
        ({"text": "x"}, "give one of them"),
        ({"text": "x", "columns": "seq > img", "within": ["crop"]}, "no 'crop'"),
    ],
)
def test_a_wrong_claim_is_refused_with_its_line(
    study_file: Path, tmp_path: Path, claim: dict[str, Any], message: str
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"{study_file.read_text()}\nclaims: [{json.dumps(claim)}]\n")
    with pytest.raises(UserError, match=message) as caught:
        load_study(own)
    assert "own.yaml" in str(caught.value)


NAMES = st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=5, unique=True)


@settings(deadline=None)
@given(NAMES)
def test_a_chain_compares_neighbours_and_a_star_all_others(names: list[str]) -> None:
    chain = Claim(text="x", rows=" > ".join(names))
    expected = [((a, "c"), (b, "c")) for a, b in itertools.pairwise(names)]
    assert list(chain.comparisons(sorted("abcdefg"), ["c"])) == expected
    star = Claim(text="x", columns=f"{names[0]} > *", within=("r",))
    others = [name for name in "abcdefg" if name != names[0]]
    expected = [(("r", names[0]), ("r", name)) for name in others]
    assert list(star.comparisons("abcdefg", ["r", "q"])) == expected


def test_rows_that_are_left_out_take_their_claims_along(study_file: Path) -> None:
    study = load_study(study_file)
    claims = (Claim(text="x", rows="crop+jitter > none"), Claim(text="y", rows="none > *"))
    study = study.model_copy(update={"claims": claims})
    assert study.only(("none", "random")).claims == claims[1:]


def test_files_have_every_comparison(make: Callable[..., Plan], tmp_path: Path) -> None:
    table = answered(make(BETTER), tmp_path, {"none": 0.3, "crop+jitter": 0.9})
    frame = frame_of(table.answers)
    assert tuple(frame.columns) == COLUMNS
    assert list(frame["verdict"]) == ["holds", "holds"]
    assert list(frame["seeds"]) == [5, 5]
    (claim,) = json.loads(json.dumps(to_json(table.answers)))
    assert claim["comparisons"][1]["higher"] == "crop+jitter/seq"
    assert frame["difference"][1] == pytest.approx(claim["comparisons"][1]["difference"])
    text = to_markdown(table)
    assert "| Crop and jitter help. (Table 5) | holds | crop+jitter vs. none (" in text


def test_a_difference_to_a_row_is_printed_with_the_interval_of_the_claim(
    make: Callable[..., Plan], tmp_path: Path
) -> None:
    table = answered(make(BETTER), tmp_path, {"none": 0.3, "crop+jitter": 0.9})
    text = table_as_markdown(table.layout(TableStyle(delta="none")))
    shown = [effect(each) for answer in table.answers for each in answer.comparisons]
    assert all(re.fullmatch(r"\+\d+\.\d \[\d+\.\d, \d+\.\d\]", each) for each in shown)
    assert len(shown) == 2
    assert all(f"({each})" in text for each in shown)
    assert "paired difference to none with its 95 % interval" in text


def test_the_command_prints_the_verdicts_and_has_their_exit_code(
    make: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    plan = make(BETTER)
    answered(plan, tmp_path, {"none": 0.3, "crop+jitter": 0.9})
    save_plan(plan, tmp_path, tmp_path / plan.study.name)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["x", *arguments, "--results", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().out

    code, text = run("claims", plan.study.name, "--all")
    assert code == 0
    assert "✓ holds" in text
    assert text.count("crop+jitter vs. none") == 2
    code, text = run("claims", plan.study.name, "--json")
    assert json.loads(text)["claims"][0]["verdict"] == "holds"


@pytest.mark.parametrize(
    ("claimed", "shown", "message"),
    [
        ([BETTER], "nn_top1", "shows nn_top1: claims are about the study's own metric"),
        ([], None, "makes no claim about the rows of this table: add one"),
    ],
    ids=["another metric", "no claim"],
)
def test_a_table_without_answers_says_why(
    make: Callable[..., Plan],
    tmp_path: Path,
    claimed: list[dict[str, Any]],
    shown: str | None,
    message: str,
) -> None:
    plan = make(*claimed).showing(shown)
    save_plan(plan, tmp_path, tmp_path / plan.study.name)
    with pytest.raises(UserError, match=message):
        claims_command(plan.study.name, tmp_path)


def test_a_table_that_lacks_the_rows_of_all_claims_names_them(
    eight: SkeletonDataset, tmp_path: Path
) -> None:
    study = named_study("augmentations").only(("none", "crop"))
    save_plan(make_plan(study, eight, preset="small", seeds=(0,)), tmp_path, tmp_path / study.name)
    missing = r"has 12 claims about rows that this table lacks \(pose, jitter, .*\): run these"
    with pytest.raises(UserError, match=missing):
        claims_command(study.name, tmp_path)


def test_an_answer_without_comparisons_has_no_weakest_one() -> None:
    answer = Answer(Claim(text="x", rows="a > b"), ())
    assert answer.weakest is None


def test_the_p_value_of_a_claim_is_the_largest_of_its_comparisons(
    make: Callable[..., Plan], tmp_path: Path
) -> None:
    (answer,) = answered(make(BETTER), tmp_path, {"none": 0.4, "crop+jitter": 0.7}).answers
    found = [each.p for each in answer.comparisons if each.p is not None]
    assert min(found) < max(found)
    assert answer.p == max(found)


def with_one_sided_p(p: float) -> dict[int, float]:
    """Differences of five seeds for which a one-sided t test against zero gives this p."""
    scatter = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
    lead = stats.t.isf(p, 4) * scatter.std(ddof=1) / np.sqrt(5)
    return dict(enumerate(scatter + lead))


@pytest.mark.parametrize(
    ("img", "seq", "apart"),
    [
        (0.03, 0.03, []),  # below 5 % each, and not after Holm's correction for both
        (0.03, 1e-6, ["img", "seq"]),  # (two-sided the first would have 6 %)
        (0.2, 1e-6, ["seq"]),
    ],
)
def test_rows_are_best_unless_significantly_below_the_highest_after_holm(
    make: Callable[..., Plan], img: float, seq: float, apart: list[str]
) -> None:
    plan = make()
    values: dict[tuple[str, str], dict[int, float]] = {}
    for column, p in (("img", img), ("seq", seq)):
        values["none", column] = dict.fromkeys(range(5), 0.0)
        values["crop+jitter", column] = with_one_sided_p(p)
    best = Evidence(values).best(plan)
    assert {("crop+jitter", "img"), ("crop+jitter", "seq")} <= set(best)
    assert [column for column in ("img", "seq") if ("none", column) not in best] == apart


def test_a_row_that_is_better_on_the_common_seeds_is_best_too(make: Callable[..., Plan]) -> None:
    """The highest mean has further seeds, on which the other row was not run."""
    values = {
        ("none", "seq"): {0: 0.50, 1: 0.51, 2: 0.49, 3: 0.9, 4: 0.9},
        ("crop+jitter", "seq"): {0: 0.60, 1: 0.61, 2: 0.59},
    }
    assert set(Evidence(values).best(make())) == set(values)


def test_bold_means_tested_in_its_column(make: Callable[..., Plan]) -> None:
    """One seed cannot be tested: it does not make a row worse, nor a column's highest the best."""
    values = {
        ("none", "img"): {0: 0.1},
        ("crop+jitter", "img"): {0: 0.2},
        ("none", "seq"): {0: 0.90, 1: 0.91, 2: 0.89},
        ("crop+jitter", "seq"): {0: 0.60, 1: 0.61, 2: 0.59},
        ("random", "seq"): {4: 0.7},  # of no seed that the others have
    }
    plan = make()
    rows = {**plan.study.rows, "random": plan.study.rows["none"]}
    plan = replace(plan, study=plan.study.model_copy(update={"rows": rows}))
    assert set(Evidence(values).best(plan)) == {("none", "seq"), ("random", "seq")}


def test_cells_of_other_clips_are_compared_by_their_seeds() -> None:
    hits, groups = np.array([[1.0, 0.0, 1.0]]), np.arange(3)
    cells = {("a", "x"): np.arange(3), ("b", "x"): np.arange(3) + 7}
    evidence = Evidence(
        {cell: {0: value, 1: value + 0.1} for cell, value in zip(cells, (0.6, 0.4), strict=True)},
        {cell: ClipHits(clips, hits, groups, (0,)) for cell, clips in cells.items()},
    )
    found = evidence.difference(*cells)
    assert found is not None
    assert found.value == pytest.approx(0.2)
