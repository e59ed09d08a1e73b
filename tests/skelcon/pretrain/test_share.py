"""Pre-training on a share of the training clips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from skelcon.data import ClipBank
from skelcon.errors import UserError
from skelcon.pretrain import PretrainConfig, Pretraining, check_batch, trainer

TREE: dict[str, Any] = {
    "representations": ["seq"],
    "encoders": {"seq": {"hidden": 4, "layers": 1}, "frames": 16},
    "contrast": {"dim": 4, "head_hidden": 4, "queue": 8},
    "epochs": 1,
    "batch": 3,
}


def trained_on(
    bank: ClipBank, monkeypatch: pytest.MonkeyPatch, share: float, seed: int = 0
) -> list[int]:
    """Which clips pass in an epoch with a batch of three, in their order."""
    seen: list[Tensor] = []
    augmented = trainer.augmented_view

    def view(bank: ClipBank, clips: Tensor, *args: Any) -> Tensor:
        seen.append(clips)
        return augmented(bank, clips, *args)

    monkeypatch.setattr(trainer, "augmented_view", view)
    config = PretrainConfig.model_validate({**TREE, "share": share})
    clips = np.arange(0, len(bank.lengths), 2)  # twelve
    training = Pretraining(bank, clips, bank.layout, config, seed)
    training.run_epoch()
    monkeypatch.setattr(trainer, "augmented_view", augmented)
    assert training.steps_per_epoch == round(share * 12) // 3
    return torch.cat(seen[::2]).tolist()


def test_the_share_is_drawn_by_the_seed_and_nested(
    small_bank: ClipBank, monkeypatch: pytest.MonkeyPatch
):
    whole = trained_on(small_bank, monkeypatch, 1.0)
    half, quarter = (trained_on(small_bank, monkeypatch, share) for share in (0.5, 0.25))
    assert set(quarter) < set(half) < set(whole) == set(range(0, 24, 2))
    assert (len(set(quarter)), len(set(half))) == (3, 6)
    assert half == trained_on(small_bank, monkeypatch, 0.5)
    others = [trained_on(small_bank, monkeypatch, 0.5, seed) for seed in (1, 2)]
    assert len({frozenset(each) for each in (half, *others)}) > 1


def test_labels_do_not_matter(small_bank: ClipBank, monkeypatch: pytest.MonkeyPatch):
    before = trained_on(small_bank, monkeypatch, 0.5)
    monkeypatch.setattr(small_bank, "labels", small_bank.labels.flip(0))
    assert trained_on(small_bank, monkeypatch, 0.5) == before


def test_a_whole_side_is_no_part_of_a_key():
    whole, half = (PretrainConfig.model_validate({**TREE, "share": s}) for s in (1, 0.5))
    assert "share" not in whole.resolved()
    assert half.resolved() == {**whole.resolved(), "share": 0.5}


def test_a_share_smaller_than_a_batch_is_an_error():
    config = PretrainConfig.model_validate({**TREE, "share": 0.25})
    check_batch(config, 12)
    with pytest.raises(UserError, match=r"2 training clips of x \(pretrain.share 0.25 of 9\)"):
        check_batch(config, 9, "x")
