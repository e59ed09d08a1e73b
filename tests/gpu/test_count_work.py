"""The counted work of a step: it grows with the clips as it says, and with what there is to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
from count_work import step_work

from skelcon.pretrain import PretrainConfig


def config(batch: int, hidden: int = 8) -> PretrainConfig:
    return PretrainConfig.model_validate(
        {
            "representations": ["seq"],
            "batch": batch,
            "contrast": {"queue": 16, "dim": 4, "head_hidden": 4},
            "encoders": {"frames": 16, "seq": {"hidden": hidden, "layers": 1}},
        }
    )


def test_flop_are_those_of_the_products() -> None:
    """Of a GRU of one layer: input and state to three gates, in two directions, over 16 frames."""
    H, inputs, T, D, K = 8, 150, 16, 4, 16
    forward = 2 * T * 2 * 3 * H * (inputs + H) + 2 * (2 * H * D + D * D)  # with the head
    # The query's backward pass has two products for each: but none for the gradient of its input
    # and of its first state.
    backward = 2 * forward - 2 * T * 2 * 3 * H * inputs
    logits = 2 * 2 * D * K  # and the gradient of the query
    each = 2 * forward + backward + logits
    assert step_work(config(4)).flop == pytest.approx(4 * each, rel=0.1)
    assert step_work(config(32)).flop == pytest.approx(32 * each, rel=0.1)


def test_bytes_have_a_part_that_no_clip_adds_to() -> None:
    few, more = (step_work(config(batch)).bytes for batch in (4, 8))
    assert few < more < 2 * few
    assert step_work(config(4, hidden=16)).bytes > few
