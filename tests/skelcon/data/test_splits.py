from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelcon.data import (
    PROTOCOLS,
    ClipInfo,
    Fold,
    SkeletonDataset,
    canonical_protocol,
    choose_protocol,
    groups_of,
    num_folds,
    split,
)

Write = Callable[..., SkeletonDataset]
Make = Callable[..., SkeletonDataset]
GROUPS = MappingProxyType({"xsub": "subject", "xview": "camera", "xsetup": "setup"})
BASE = 40


@pytest.fixture(scope="module")
def make(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Data sets of given groups and sides, (subject, camera, setup) a clip; a few are enough."""
    made: dict[tuple, SkeletonDataset] = {}

    def make(groups: list[tuple[int, int, int]], **splits: list[int]) -> SkeletonDataset:
        key = (tuple(groups), tuple((name, tuple(row)) for name, row in splits.items()))
        if key not in made:
            infos = [ClipInfo(f"{at}", 0, *group) for at, group in enumerate(groups)]
            rows = {name: np.array(row) for name, row in splits.items()}
            path = tmp_path_factory.mktemp("split") / "set"
            made[key] = write(path, infos, splits=rows)
        return made[key]

    return make


@pytest.mark.parametrize(
    ("spelling", "protocol"),
    [
        *((name, name) for name in PROTOCOLS),
        *((name.upper(), name) for name in PROTOCOLS),
        ("cross_view", "xview"),
        ("Cross-View", "xview"),
        ("CV", "xview"),
        (" cv ", "xview"),
        ("X-View", "xview"),
        ("Cross-Subject", "xsub"),
        ("cross_subject", "xsub"),
        ("CS", "xsub"),
        ("x-sub", "xsub"),
        ("Cross-Setup", "xsetup"),
        ("cross_setup", "xsetup"),
        ("X-Set", "xsetup"),
        ("xset", "xsetup"),
    ],
)
def test_usual_spellings(spelling: str, protocol: str):
    assert canonical_protocol(spelling) == protocol


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("xsubb", "'xsub'"), ("cross_veiw", "'cross_view'"), ("X-Setp", "'x-setup'")],
)
def test_an_unknown_protocol_names_the_nearest(
    user_error: Callable[..., str], wrong: str, meant: str
):
    user_error(lambda: canonical_protocol(wrong), f"'{wrong}'", meant)


def test_a_protocol_like_no_other_lists_them_all(user_error: Callable[..., str]):
    user_error(lambda: canonical_protocol("?"), "'?'", *PROTOCOLS)
    user_error(lambda: canonical_protocol(""), *PROTOCOLS)


def test_the_first_protocol_that_there_is_is_chosen(make: Make, user_error: Callable[..., str]):
    dataset = make([(1, 1, 1), (2, 2, 2)], xsub=[0, 1], xsetup=[1, 0])
    assert choose_protocol(dataset, ["xview", "xsetup", "xsub"]) == "xsetup"
    assert choose_protocol(dataset, ["CV", "CS"]) == "xsub"
    assert choose_protocol(dataset, ["Cross-Setup"]) == "xsetup"
    user_error(lambda: choose_protocol(dataset, ["cross-view"]), "'tried'", "xview", "xsetup, xsub")
    user_error(lambda: split(dataset, "xview", "train"), "xview", "xsetup", "xsub")
    # A misspelt name is reported, even where another would do.
    user_error(lambda: choose_protocol(dataset, ["xsub", "xveiw"]), "'xveiw'")


def test_a_protocol_of_the_datas_own(
    tmp_path: Path, write: Callable[..., SkeletonDataset], user_error: Callable[..., str]
):
    infos = [ClipInfo(f"clip {at}", 0, subject=at) for at in range(4)]
    dataset = write(tmp_path / "own", infos, splits={"halves": np.array([0, 0, 0, 1])})
    assert choose_protocol(dataset, PROTOCOLS) == choose_protocol(dataset, ["Halves"]) == "halves"
    user_error(lambda: choose_protocol(dataset, ["xsub"]), "xsub", "it has: halves")
    user_error(lambda: choose_protocol(dataset, ["halfs"]), "'halfs'", "'halves'")
    assert num_folds(dataset, "halves") == 3
    both = write(tmp_path / "both", infos, splits=dict.fromkeys(("a", "b"), np.array([0, 0, 1, 1])))
    user_error(lambda: choose_protocol(both, PROTOCOLS), "it has: a, b")


def test_both_sides_as_the_data_set_has_them(make: Make):
    dataset = make([(s, 1, 1) for s in range(6)], xsub=[0, 1, -1, 0, 1, -1])
    assert split(dataset, "cross-subject", "train").tolist() == [0, 3]
    assert split(dataset, "xsub", "test").tolist() == [1, 4]


columns = st.lists(
    st.tuples(st.integers(1, 7), st.integers(1, 3), st.integers(1, 5)), min_size=2, max_size=BASE
)


def dealt(groups: list[int], of: int) -> list[set[int]]:
    """The folds, by hand: each group, the largest first, to the smallest fold so far."""
    clips = Counter(groups)
    folds: list[list[int]] = [[] for _ in range(of)]
    for group in sorted(clips, key=lambda group: (-clips[group], group)):
        sizes = [sum(clips[each] for each in fold) for fold in folds]
        folds[sizes.index(min(sizes))].append(group)
    return [set(fold) for fold in folds]


@settings(max_examples=40, deadline=None)
@given(columns, st.sampled_from(PROTOCOLS), st.integers(2, 6), st.data())
def test_each_training_clip_is_validated_once_and_no_group_is_in_two_folds(
    make: Make,
    groups: list[tuple[int, int, int]],
    protocol: str,
    at_most: int,
    data: st.DataObject,
):
    """Two groups or more train; what does not test takes part or not, clip by clip."""
    which = PROTOCOLS.index(protocol)
    values = sorted({group[which] for group in groups})
    trains = set(data.draw(st.sets(st.sampled_from(values), min_size=min(2, len(values)))))
    groups = [*groups, (8, 8, 8), (9, 9, 9)]
    trains |= {8, 9}
    out = data.draw(st.sets(st.integers(0, len(groups) - 3), max_size=3))
    sides = [
        -1 if at in out else int(group[which] not in trains) for at, group in enumerate(groups)
    ]
    dataset = make(groups, **{protocol: sides})
    train, test = (split(dataset, protocol, part) for part in ("train", "test"))
    column = dataset.columns[GROUPS[protocol]]
    assert not set(train) & set(test)
    assert not (set(train) | set(test)) & out
    assert not set(column[train]) & set(column[test])
    of = num_folds(dataset, protocol, at_most)
    assert of == min(at_most, len(set(column[train])))
    np.testing.assert_array_equal(groups_of(dataset, protocol, train), column[train])
    validated: list[int] = []
    expected = dealt(column[train].tolist(), of)
    for index in range(of):
        fold = Fold(index, of)
        fit, validation = (split(dataset, protocol, part, fold) for part in ("fit", "validation"))
        for rows in (fit, validation):
            assert rows.dtype == np.int64
            assert len(rows)
            assert (np.diff(rows) > 0).all()  # file order
        assert sorted([*fit, *validation]) == train.tolist()
        assert set(column[validation]) == expected[index]
        assert not set(column[fit]) & set(column[validation])
        again = split(dataset, protocol, "validation", Fold(index, of))
        np.testing.assert_array_equal(again, validation)
        for part, whole in (("train", train), ("test", test)):
            np.testing.assert_array_equal(split(dataset, protocol, part, fold), whole)
        validated += validation.tolist()
    assert sorted(validated) == train.tolist()


def test_folds_are_balanced_by_their_clips(make: Make):
    """Five subjects with 6, 3, 3, 2 and 1 clips in three folds: 6, 3 + 2 and 3 + 1, by hand."""
    clips = {3: 6, 1: 3, 5: 3, 2: 2, 4: 1}
    groups = [(subject, 1, 1) for subject, count in clips.items() for _ in range(count)]
    dataset = make([*groups, (6, 1, 1)], xsub=[0] * len(groups) + [1])
    subjects = dataset.columns["subject"]
    folds = [split(dataset, "xsub", "validation", Fold(index, 3)) for index in range(3)]
    assert [set(subjects[fold]) for fold in folds] == [{3}, {1, 2}, {4, 5}]
    assert num_folds(dataset, "xsub") == 5
    assert num_folds(dataset, "xsub", at_most=3) == 3


@pytest.mark.parametrize(("protocol", "which"), [("xview", 1), ("xsetup", 2)])
def test_one_camera_that_trains_is_divided_by_subjects(make: Make, protocol: str, which: int):
    groups = []
    for subject in range(1, 7):
        for side in (1, 2):
            group = [subject, 1, 1]
            group[which] = side
            groups.append(tuple(group))
    dataset = make(groups, **{protocol: [group[which] - 1 for group in groups]})
    assert num_folds(dataset, protocol, at_most=9) == 6
    subjects = dataset.columns["subject"]
    held_out = [split(dataset, protocol, "validation", Fold(index, 3)) for index in range(3)]
    assert [set(subjects[clips]) for clips in held_out] == [{1, 4}, {2, 5}, {3, 6}]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_single_trainer_cannot_be_divided(
    make: Make, user_error: Callable[..., str], protocol: str
):
    dataset = make([(3, 1, 1), (3, 1, 1), (4, 2, 2)], **{protocol: [0, 0, 1]})
    wanted = ("tried", protocol, GROUPS[protocol])
    user_error(lambda: num_folds(dataset, protocol), *wanted)
    user_error(lambda: split(dataset, protocol, "fit", Fold(0, 2)), *wanted)
    assert split(dataset, protocol, "train").tolist() == [0, 1]
    assert groups_of(dataset, protocol, split(dataset, protocol, "train")).tolist() == [0, 0]


def test_unknown_subjects_cannot_be_divided(
    write: Write, tmp_path: Path, user_error: Callable[..., str]
):
    infos = [ClipInfo(f"{at}", 0) for at in range(4)]
    dataset = write(tmp_path / "set", infos, splits={"xsub": np.array([0, 0, 0, 1])})
    user_error(lambda: num_folds(dataset, "xsub"), "xsub", "subject")


def test_more_folds_than_groups(make: Make, user_error: Callable[..., str]):
    dataset = make([(1, 1, 1), (2, 1, 1), (3, 1, 1), (4, 1, 1)], xsub=[0, 0, 0, 1])
    user_error(lambda: split(dataset, "xsub", "fit", Fold(0, 4)), "tried", "3 groups", "4 folds")


@pytest.mark.parametrize(("index", "of"), [(2, 2), (-1, 3), (0, 1)])
def test_a_fold_that_there_is_not(index: int, of: int):
    with pytest.raises(ValueError, match=f"{index} of {of}"):
        Fold(index, of)


def test_parts_of_a_fold_need_one(make: Make):
    dataset = make([(1, 1, 1), (2, 1, 1), (3, 1, 1)], xsub=[0, 0, 1])
    for part in ("fit", "validation"):
        with pytest.raises(ValueError, match=part):
            split(dataset, "xsub", part)


@pytest.mark.parametrize("protocol", ["xsub", "xview"])
def test_what_has_no_known_subjects_is_divided_by_setups(
    write: Write, tmp_path: Path, protocol: str
):
    """A data set as PKU-MMD I, whose file names have the recording but not the subject."""
    infos = [ClipInfo(f"{at}", 0, camera=1 + at // 12, setup=at % 6) for at in range(24)]
    dataset = write(tmp_path / "set", infos, splits={protocol: np.repeat([0, 1], 12)})
    setups = dataset.columns["setup"]
    train = split(dataset, protocol, "train")
    np.testing.assert_array_equal(groups_of(dataset, protocol, train), setups[train])
    held_out = [split(dataset, protocol, "validation", Fold(index, 3)) for index in range(3)]
    assert [set(setups[clips]) for clips in held_out] == [{0, 3}, {1, 4}, {2, 5}]


def test_subjects_come_before_setups(make: Make):
    groups = [(subject, 1, setup) for subject in (1, 2, 3) for setup in (1, 2)]
    dataset = make([*groups, (9, 2, 1)], xview=[0] * 6 + [1])
    assert split(dataset, "xview", "validation", Fold(2, 3)).tolist() == [4, 5]
