from pathlib import Path

import numpy as np
import pytest

from skelcon.data import UNKNOWN, ClipInfo
from skelcon.data.importers.ntu_facts import (
    CLASS_NAMES,
    class_names,
    dataset_name,
    ntu_info,
    protocols,
)

TRAINING_60 = "1 2 4 5 8 9 13 14 15 16 17 18 19 25 27 28 31 34 35 38"
TRAINING_120 = (
    f"{TRAINING_60} 45 46 47 49 50 52 53 54 55 56 57 58 59 70 74 78 80 81 82 83 84 85 86 89 91 92 "
    "93 94 95 97 98 100 103"
)


def clip_info(subject: int = 1, camera: int = 1, setup: int = 1) -> ClipInfo:
    return ClipInfo("x", 0, subject, camera, setup)


@pytest.mark.parametrize("suffix", ["", ".skeleton"])
def test_what_a_name_says(suffix: str):
    info = ntu_info("S017C003P040R002A060" + suffix)
    assert info == ClipInfo("S017C003P040R002A060", 59, subject=40, camera=3, setup=17)
    assert ntu_info("S032C001P106R001A120" + suffix).label == 119


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "not named"),
        ("S001C001P001R001A01", "not named"),
        ("S001C001P001R001A0011", "not named"),
        ("xS001C001P001R001A001", "not named"),
        ("S001C001P001R001A001\n", "not named"),
        ("S001C001P001R001A001.skeleton.gz", "not named"),
        ("s001c001p001r001a001", "not named"),
        ("S001C001P001R001A00١", "not named"),
        ("S000C001P001R001A001", "setup 0"),
        ("S033C001P001R001A001", "setup 33"),
        ("S001C000P001R001A001", "camera 0"),
        ("S001C004P001R001A001", "camera 4"),
        ("S001C001P000R001A001", "performer 0"),
        ("S001C001P107R001A001", "performer 107"),
        ("S001C001P001R000A001", "replication 0"),
        ("S001C001P001R003A001", "replication 3"),
        ("S001C001P001R001A000", "action 0"),
        ("S001C001P001R001A121", "action 121"),
    ],
)
def test_what_is_no_name(name: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        ntu_info(name)


def test_every_action_has_a_name_of_its_own():
    assert len(set(CLASS_NAMES)) == len(CLASS_NAMES) == 120
    assert class_names("ntu120") == CLASS_NAMES
    assert class_names("ntu60") == CLASS_NAMES[:60]
    # A1, A50, A60, A61 and A120.
    chosen = [CLASS_NAMES[at - 1].split()[0] for at in (1, 50, 60, 61, 120)]
    assert chosen == ["drink", "punching/slapping", "walking", "put", "finger-guessing"]


def test_which_of_the_two_data_sets():
    assert dataset_name([]) == "ntu60"
    assert dataset_name([ntu_info("S017C001P001R001A060")]) == "ntu60"
    assert dataset_name([ntu_info("S018C001P041R001A001")]) == "ntu120"
    assert dataset_name([ntu_info("S001C001P001R001A061")]) == "ntu120"
    assert dataset_name([ClipInfo("x", 59)]) == "ntu60"
    assert dataset_name([ClipInfo("x", 59), ClipInfo("x", 60)]) == "ntu120"


@pytest.mark.parametrize(
    ("name", "training", "subjects"), [("ntu60", TRAINING_60, 40), ("ntu120", TRAINING_120, 106)]
)
def test_the_subjects_that_train(name: str, training: str, subjects: int):
    sides = protocols([clip_info(subject=number) for number in range(1, subjects + 1)], name)[
        "xsub"
    ]
    assert sides.dtype == np.int8
    expected = {int(number) for number in training.split()}
    assert len(expected) == subjects // 2
    assert set(np.flatnonzero(sides == 0) + 1) == expected
    assert (sides[sides != 0] == 1).all()


def test_the_cameras_and_setups_that_train():
    assert protocols([clip_info(camera=at) for at in (1, 2, 3)], "ntu60")["xview"].tolist() == [
        1,
        0,
        0,
    ]
    setups = protocols([clip_info(setup=at) for at in range(1, 33)], "ntu120")["xsetup"]
    assert setups.tolist() == [1, 0] * 16
    assert set(protocols([clip_info()], "ntu60")) == {"xsub", "xview"}
    assert set(protocols([clip_info()], "ntu120")) == {"xsub", "xsetup"}


def test_what_is_not_known_takes_no_part():
    rows = protocols([clip_info(), clip_info(subject=UNKNOWN), clip_info(camera=UNKNOWN)], "ntu60")
    assert rows["xsub"].tolist() == [0, -1, 0]
    assert rows["xview"].tolist() == [1, 1, -1]
    assert protocols([ClipInfo("x", 0)], "ntu60") == {}
    assert set(protocols([clip_info(subject=UNKNOWN)], "ntu120")) == {"xsetup"}


@pytest.fixture
def real_lists(real_utd: Path) -> Path:
    path = real_utd.parent / "lists"
    if not path.is_dir():
        pytest.skip(f"no real data at '{path}' (set SKELCON_TEST_DATA to where it is)")
    return path
