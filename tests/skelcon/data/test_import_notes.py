"""The notes of an import, and how it counts the clips that are lost."""

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from skelcon.cli.program import main
from skelcon.data import SkeletonDataset, import_dataset, split
from skelcon.data.anatomy import DOUBTS
from skelcon.data.importers.report import read_report

UserErrorOf = Callable[..., str]
NTU_NAMES = [f"S001C{c:03d}P{p:03d}R001A{a:03d}" for c in (1, 2, 3) for p in (1, 3) for a in (1, 2)]


def clip_of(seed: int, frames: int = 6) -> np.ndarray:
    """(1, T, 25, 3)."""
    rng = np.random.default_rng(seed)
    return rng.normal((0, 0, 3), (0.1, 0.4, 0.1), (1, frames, 25, 3)).astype(np.float32)


def noted(source: Path, place: Path, **options: object) -> tuple[SkeletonDataset, dict[str, str]]:
    """The data set, and the notes of its import: what each is about and names, to its text.

    That the noise which stands for bodies is none is left out.
    """
    dataset, _ = import_dataset(source, place, **options)  # type: ignore[arg-type]
    report = read_report(place)
    assert report is not None
    saved = (place / "import-report.json").read_text()
    assert json.loads(saved) == json.loads(json.dumps(report.to_dict()))
    notes = [note for note in report.notes if note.about not in DOUBTS]
    return dataset, {f"{note.about} {','.join(note.names)}": note.text for note in notes}


def write_ntu(folder: Path, names: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    joint = " ".join("0" * 9)
    for at, name in enumerate(names):
        lines = ["2"]
        for frame in clip_of(at, 2)[0]:
            lines += ["1", "7 0 0 0 0 0 0 0 0 2", "25"]
            lines += [f"{x:.4f} {y:.4f} {z:.4f} {joint}" for x, y, z in frame]
        (folder / f"{name}.skeleton").write_text("\n".join(lines) + "\n")
    return folder


# Lost clips.


def write_pku(folder: Path, videos: dict[str, int], frames: int = 90) -> Path:
    """Videos of phase II with so many labels of ten frames each."""
    (folder / "skeleton").mkdir(parents=True)
    (folder / "label").mkdir()
    for at, (video, labels) in enumerate(videos.items()):
        rows = np.zeros((frames, 150))
        rows[:, :75] = clip_of(at, frames).reshape(frames, 75)
        np.savetxt(folder / "skeleton" / f"{video}.txt", rows, "%.3f")
        text = "".join(f"1,{10 * n},{10 * n + 10},1\n" for n in range(labels))
        (folder / "label" / f"{video}.txt").write_text(text)
    return folder


def test_a_video_is_as_many_clips_as_it_takes_along(tmp_path: Path, user_error: UserErrorOf):
    source = write_pku(tmp_path / "pku", {f"A01N{n:02d}-L": 8 for n in (1, 2, 3, 4)})
    bad = source / "skeleton" / "A01N03-L.txt"
    bad.write_text(bad.read_text()[:-40])
    text = user_error(lambda: import_dataset(source, tmp_path / "set"), "8 of 32 clips")
    assert "A01N03-L.txt" in text
    user_error(lambda: import_dataset(source, tmp_path / "set", max_bad=0.24), "8 of 32 clips")
    dataset, skipped = import_dataset(source, tmp_path / "set", max_bad=0.25)
    assert len(dataset) == 24
    assert [bad.clips for bad in skipped] == [8]
    report = read_report(tmp_path / "set")
    assert report is not None
    assert report.lost == 8
    assert report.skipped == tuple(skipped)


def test_a_bad_row_of_labels_is_one_clip(tmp_path: Path):
    source = write_pku(tmp_path / "pku", {"A01N01-L": 8, "A01N02-L": 8})
    with (source / "label" / "A01N01-L.txt").open("a") as labels:
        labels.write("1,80,100,1\n")  # beyond the video
    dataset, skipped = import_dataset(source, tmp_path / "set", max_bad=0.06)
    assert len(dataset) == 16
    assert [bad.clips for bad in skipped] == [1]


def test_labels_and_lists_of_videos_that_are_not_there(tmp_path: Path):
    source = write_pku(tmp_path / "pku", {f"A01N{n:02d}-L": n for n in (1, 2, 3, 4)})
    (source / "skeleton" / "A01N03-L.txt").unlink()
    (source / "cross_subject_v2.txt").write_text(
        "Training videos:\nA01N01-L, A01N09-R\nValidation videos:\nA01N02-L"
    )
    dataset, notes = noted(source, tmp_path / "set")
    assert len(dataset) == 7
    assert notes == {
        "labels A01N03-L.txt": "1 label file without skeletons, 3 clips lost",
        "splits A01N09-R": "1 video of the list of xsub without skeletons",
        "splits A01N04-L": "1 video on no side of xsub",
    }


# Files, arrays and names.


def test_files_that_are_not_used_are_listed(tmp_path: Path):
    source = write_ntu(tmp_path / "ntu", NTU_NAMES)
    (source / "S001C001P001R001A001.skeleton.bak").write_text("x")
    (source / "readme.txt").write_text("x")
    (source / ".hidden").write_text("x")
    _, notes = noted(source, tmp_path / "set")
    assert notes == {
        "files S001C001P001R001A001.skeleton.bak,readme.txt": "2 files of the folder not used"
    }


def test_one_name_that_makes_another_data_set_is_reported(tmp_path: Path):
    strange = "S001C001P001R001A061"
    source = write_ntu(tmp_path / "ntu", [*NTU_NAMES, strange])
    dataset, notes = noted(source, tmp_path / "set")
    assert dataset.name == "ntu120"
    assert "NTU RGB+D 120" in notes[f"names {strange}"]
    assert "--exclude" in notes[f"names {strange}"]
    dataset, notes = noted(source, tmp_path / "set", exclude={strange})
    assert (dataset.name, dataset.num_classes) == ("ntu60", 60)
    assert not any(key.startswith("names") for key in notes)


def test_the_larger_data_set_itself_is_nothing_odd(tmp_path: Path):
    names = [f"S018C001P001R001A{a:03d}" for a in range(55, 71)]
    _, notes = noted(write_ntu(tmp_path / "ntu", names), tmp_path / "set")
    assert not any(key.startswith("names") for key in notes)


def test_a_second_array_of_a_known_kind_is_listed(tmp_path: Path):
    values: dict[str, np.ndarray] = {"seen": np.arange(3)}
    for part in ("train", "test", "val"):
        clips = np.concatenate([clip_of(at) for at in range(2)]).reshape(2, 6, 75)
        values[f"x_{part}"], values[f"y_{part}"] = clips, np.array([0, 1])
    np.savez(tmp_path / "mine_xsub.npz", **values)  # type: ignore[arg-type]
    _, notes = noted(tmp_path / "mine_xsub.npz", tmp_path / "set")
    (text,) = notes.values()
    assert list(notes) == ["arrays seen,x_val,y_val"]
    assert "not used" in text


def test_a_protocol_that_no_name_says_is_reported(tmp_path: Path):
    values = {f"x_{part}": clip_of(0).reshape(1, 6, 75) for part in ("train", "test")}
    labels = {f"y_{part}": np.array([0]) for part in ("train", "test")}
    np.savez(tmp_path / "mine.npz", **values, **labels)  # type: ignore[arg-type]
    dataset, notes = noted(tmp_path / "mine.npz", tmp_path / "set")
    assert list(dataset.splits) == ["xsub"]
    assert "called xsub" in notes["splits "]


def test_names_on_both_sides_of_arrays_are_reported(tmp_path: Path):
    folder = tmp_path / "data" / "xsub"
    folder.mkdir(parents=True)
    for part, names in (("train", ["a", "b"]), ("val", ["b", "c"])):
        clips = np.concatenate([clip_of(at) for at in range(2)]).transpose(0, 3, 1, 2)[..., None]
        np.save(folder / f"{part}_data.npy", clips)
        (folder / f"{part}_label.pkl").write_bytes(pickle.dumps((names, [0, 1])))
    _, notes = noted(folder, tmp_path / "set")
    assert notes == {"splits b": "1 name on both sides of xsub"}


# Splits of a file.


def write_pickle(path: Path, names: list[str], splits: object) -> Path:
    annotations = [
        {"frame_dir": name, "label": at % 2, "keypoint": clip_of(at), "total_frames": 6}
        for at, name in enumerate(names)
    ]
    path.write_bytes(pickle.dumps({"split": splits, "annotations": annotations}))
    return path


def test_a_file_whose_splits_have_their_own_names(tmp_path: Path):
    splits = {"train": ["a"], "val": ["b"], "Sub1_train": ["b"], "sub1_val": ["a"], 7: ["a"]}
    path = write_pickle(tmp_path / "mine.pkl", ["a", "b"], {**splits, "all": ["a"], "x_val": "a"})
    dataset, notes = noted(path, tmp_path / "set")
    rows = {name: row.tolist() for name, row in dataset.splits.items()}
    assert rows == {"own": [0, 1], "sub1": [1, 0]}
    assert notes == {
        "splits int,all,x_val": "of the file that are not a side of a protocol",
        "splits own,sub1": "of the file under names of its own (--protocol)",
    }
    assert split(dataset, "sub1", "train").tolist() == [1]


def test_the_official_ones_do_not_replace_a_files_own(tmp_path: Path):
    splits = {"split1_train": NTU_NAMES[:1], "split1_val": NTU_NAMES[1:2]}
    dataset, notes = noted(
        write_pickle(tmp_path / "mine.pkl", NTU_NAMES[:2], splits), tmp_path / "set"
    )
    assert set(dataset.splits) == {"xsub", "xview", "split1"}
    assert dataset.splits["split1"].tolist() == [0, 1]
    assert "splits split1" in notes


def test_what_is_odd_in_a_known_split(tmp_path: Path):
    splits = {
        "xsub_train": ["a", "b", "gone"],
        "xsub_val": ["d"],
        "xsub_test": ["b.skeleton", "c"],
    }
    dataset, notes = noted(
        write_pickle(tmp_path / "mine.pkl", ["a", "b", "c", "d"], splits), tmp_path / "set"
    )
    assert dataset.splits["xsub"].tolist() == [0, 1, 1, -1]
    assert notes == {
        "splits ": "xsub_val is not used: xsub_test tests",
        "splits b": "1 name on both sides of xsub: their clips test",
        "splits gone": "1 name of xsub without a clip",
        "splits d": "1 clip on no side of xsub",
    }


def test_a_file_with_nothing_odd_has_no_notes(tmp_path: Path):
    splits = {"xsub_train": ["a"], "xsub_val": ["b"]}
    _, notes = noted(write_pickle(tmp_path / "mine.pkl", ["a", "b"], splits), tmp_path / "set")
    assert notes == {}


@pytest.mark.parametrize("wrong", [["a"], "xsub", 3])
def test_a_split_that_is_none_is_reported(tmp_path: Path, wrong: object):
    path = write_pickle(tmp_path / "mine.pkl", ["a", "b"], wrong)
    _, notes = noted(path, tmp_path / "set")
    assert "splits split" in notes


# To the reader.


def test_what_is_reported_is_printed_and_in_info(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["skelcon", "data", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        return capsys.readouterr().out

    source = write_pku(tmp_path / "pku", {f"A01N{n:02d}-L": 8 for n in (1, 2, 7)})
    bad = source / "skeleton" / "A01N02-L.txt"
    bad.write_text(bad.read_text()[:-40])
    (source / "label" / "A01N09-L.txt").write_text("1,0,10,1\n")
    out = run("import", source, tmp_path / "set", "--max-bad", "0.5")
    assert "(8 clips lost)" in out
    assert "1 skipped (8 clips) in all" in out
    assert "note: labels: 1 label file without skeletons, 1 clip lost" in out
    answer = json.loads(run("info", tmp_path / "set", "--json"))
    assert answer["import"]["skipped"][0]["clips"] == 8
    assert answer["import"]["notes"][0]["names"] == ["A01N09-L.txt"]
    assert "note: labels" in run("info", tmp_path / "set")
