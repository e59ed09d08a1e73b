"""A pickle of 2D keypoints, as pyskl distributes them: ``ntu60_hrnet.pkl``."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from other_sensors import as_coco, takes

from skelcon.data import CENTRED, LAYOUTS, detect, import_dataset, normalise
from skelcon.data.importers import RAW
from skelcon.data.normalise import usual_steps
from skelcon.data.synthetic import render

COCO = LAYOUTS["coco-17"]


def annotation(number: int, clip: np.ndarray) -> dict[str, Any]:
    return {
        "frame_dir": f"take {number}",
        "label": number % 2,
        "img_shape": (1080, 1920),
        "original_shape": (1080, 1920),
        "total_frames": clip.shape[1],
        "keypoint": clip[..., :2].astype(np.float16),
        "keypoint_score": clip[..., 2].astype(np.float16),
    }


@pytest.fixture
def clips() -> list[np.ndarray]:
    """Half precision pixels; one joint has no score in some frames."""
    made = []
    for take in takes(1):
        clip = as_coco(render(take, noise=False)[:, :8]).astype(np.float16)
        clip[0, 2:5, 7, 2] = 0
        made.append(clip)
    return made


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(annotations: list[dict[str, Any]]) -> Path:
        names = [each["frame_dir"] for each in annotations]
        path = tmp_path / "given" / "gym_hrnet.pkl"
        path.parent.mkdir()
        split = {"xsub_train": names[::2], "xsub_val": names[1::2]}
        path.write_bytes(pickle.dumps({"split": split, "annotations": annotations}, 4))
        return path

    return write


def test_keypoints_and_their_scores_are_imported(
    write: Callable[..., Path], clips: list[np.ndarray], tmp_path: Path
):
    path = write([annotation(number, clip) for number, clip in enumerate(clips)])
    dataset, skipped = import_dataset(path.parent, tmp_path / "set")
    assert skipped == []
    assert dataset.layout == COCO
    assert dataset.normalisation == usual_steps(COCO)
    for number, clip in enumerate(clips):
        there = clip[..., 2:] > 0
        expected = normalise(np.where(there, clip, 0).astype(np.float32), COCO, usual_steps(COCO))
        np.testing.assert_array_equal(
            dataset.clip(number)[: len(clip)], expected.astype(np.float32)
        )
        assert not dataset.clip(number)[0, 2:5, 7].any()
    as_it_is, _ = import_dataset(path, tmp_path / "raw", RAW)
    assert as_it_is.clip(0)[0, 0, 0, :2].tolist() == clips[0][0, 0, 0, :2].tolist()


def test_without_scores_all_that_is_not_at_zero_is_certain(
    write: Callable[..., Path], clips: list[np.ndarray], tmp_path: Path
):
    clips[0][0, :, 3, :2] = 0
    annotations = [annotation(number, clip) for number, clip in enumerate(clips)]
    for each in annotations:
        del each["keypoint_score"]
    dataset, _ = import_dataset(write(annotations), tmp_path / "set", CENTRED)
    confidence = dataset.clip(0)[0, :, :, 2]
    assert not confidence[:, 3].any()
    assert (np.delete(confidence, 3, axis=1) == 1).all()


def test_scores_that_do_not_fit_are_reported(
    write: Callable[..., Path], clips: list[np.ndarray], tmp_path: Path
):
    annotations = [annotation(number, clip) for number, clip in enumerate(clips)]
    annotations[0]["keypoint_score"] = annotations[0]["keypoint_score"][:, 1:]
    annotations[1]["keypoint_score"] = "high"
    annotations[2]["keypoint_score"] = np.full_like(annotations[2]["keypoint_score"], np.nan)
    source = detect(write(annotations))
    _, skipped = import_dataset(source, tmp_path / "set", max_bad=0.9)
    reasons = [each.reason for each in skipped]
    assert "keypoint_score (1, 7, 17), not (1, 8, 17)" in reasons[0]
    assert "not an array of numbers" in reasons[1]
    assert "not finite" in reasons[2]
