"""Each augmentation acts on a sample with its probability; at 1 it draws nothing for that."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from skelcon import register_augmentation
from skelcon.augment import AUGMENTATIONS, NAMES, AugmentConfig, augmented_view
from skelcon.data import ClipBank

SAMPLES = 600


def seen(bank: ClipBank, tree: dict[str, object], seed: int = 0) -> Tensor:
    batch = torch.arange(SAMPLES) % len(bank.lengths)
    config = AugmentConfig.model_validate(tree)
    return augmented_view(bank, batch, config, 8, torch.Generator().manual_seed(seed))


def changed(bank: ClipBank, tree: dict[str, object]) -> np.ndarray:
    """(B, V) bool: which joints of which samples are not those of the whole clip."""
    return (seen(bank, tree) != seen(bank, {"use": ()})).any(dim=4).any(dim=2).any(dim=1).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_it_acts_on_its_share_of_samples(small_bank: ClipBank, name: str):
    always = changed(small_bank, {"use": [name]}).any(axis=1)
    for p in (0.0, 0.3):
        acts = changed(small_bank, {"use": [name], name: {"p": p}}).any(axis=1)
        assert abs(acts.mean() - p * always.mean()) < 0.06


def test_of_pose_and_jitter_still_one_is_drawn_and_then_acts(small_bank: ClipBank):
    """0.5 of the samples draw the pose, of which 0.8 act; of the others 0.4."""
    tree = {"use": ["pose", "jitter"], "pose": {"p": 0.8}, "jitter": {"p": 0.4, "joints": 5}}
    joints = changed(small_bank, tree).sum(axis=1)
    every = small_bank.num_joints
    jittered = AugmentConfig.model_validate(tree).jitter.count(every)
    assert set(joints.tolist()) == {0, jittered, every}
    for count, share in ((every, 0.4), (jittered, 0.2), (0, 0.4)):
        assert abs((joints == count).mean() - share) < 0.06


def test_at_1_the_bits_and_the_key_are_those_without(small_bank: ClipBank):
    plain = {"use": ["crop", "pose", "jitter", "flip"]}
    named = {**plain, **{name: {"p": 1.0} for name in NAMES}}
    assert torch.equal(seen(small_bank, plain), seen(small_bank, named))
    resolved = [AugmentConfig.model_validate(tree).resolved() for tree in (plain, named)]
    assert resolved[0] == resolved[1]
    assert "p" not in {**resolved[0]["crop"], **resolved[0]["pose"], **resolved[0]["jitter"]}
    half = AugmentConfig.model_validate({**plain, "crop": {"p": 0.5}}).resolved()
    assert half["crop"]["p"] == 0.5
    assert AugmentConfig.model_validate(half).resolved() == half


def test_a_registered_one_has_a_probability_unless_it_has_its_own(
    small_bank: ClipBank, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(AUGMENTATIONS, "_registered", {})

    @register_augmentation("upside", version="1")
    def upside(view: Tensor, generator: torch.Generator, by: float = 2.0) -> Tensor:
        return view.mul_(-by)  # in place

    @register_augmentation("whole", version="1")
    def whole(view: Tensor, generator: torch.Generator, p: float = 0.25) -> Tensor:
        return view * (1 + p)

    def config(name: str, **options: object) -> dict[str, object]:
        return {"use": [name], "custom": {name: options}}

    acts = changed(small_bank, config("upside", p=0.3)).any(axis=1)
    assert abs(acts.mean() - 0.3) < 0.06
    plain, view = seen(small_bank, {"use": ()}), seen(small_bank, config("upside", p=0.3))
    torch.testing.assert_close(view[acts], -2 * plain[acts])
    assert changed(small_bank, config("whole", p=0.5)).any(axis=1).all()
    options = [
        AugmentConfig.model_validate(config("upside", **given)).options("upside")
        for given in ({}, {"p": 1}, {"p": 0.5})
    ]
    assert options == [{"by": 2.0}, {"by": 2.0}, {"by": 2.0, "p": 0.5}]
    resolved = AugmentConfig.model_validate(config("upside", p=0.5)).resolved()
    assert AugmentConfig.model_validate(resolved).resolved() == resolved
    for wrong in (1.5, "often", True):
        with pytest.raises(ValidationError, match="'upside': p is between 0 and 1"):
            AugmentConfig.model_validate(config("upside", p=wrong))
