"""ST-GCN, CTR-GCN and the transformer: published sizes, absent bodies, weights and mistakes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from skelcon.data import KINECT_V2, SkeletonLayout
from skelcon.encoders import Encoder, EncodersConfig
from skelcon.pretrain.weights import load_encoders, save_encoders

SMALL: dict[str, dict[str, Any]] = {
    "stgcn": {"channels": [6, 6, 8], "strides": [1, 1, 2], "kernel": 3, "dropout": 0},
    "ctrgcn": {"channels": [8, 8, 12], "strides": [1, 1, 2], "reduction": 2},
    "transformer": {"dim": 12, "depth": 2, "heads": 3},
}


def config(name: str, options: dict[str, Any], frames: int = 16) -> EncodersConfig:
    custom = {"stg": {"encoder": name, "options": options}}
    return EncodersConfig.model_validate({"custom": custom, "frames": frames})


def built(name: str, layout: SkeletonLayout, bodies: int, **options: Any) -> Encoder:
    torch.manual_seed(0)
    encoder = Encoder("stg", config(name, {**SMALL[name], **options}), layout, bodies)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.dim() == 1:
                parameter.uniform_(-1, 1)
    return encoder


@pytest.mark.parametrize(
    ("name", "expected", "classes", "published"),
    [("stgcn", 3_083_412, 60, 3.10), ("ctrgcn", 1_431_252, 120, 1.46)],
)
def test_parameters_are_the_published_ones(
    name: str, expected: int, classes: int, published: float
):
    """Published with a linear classifier behind them."""
    with torch.device("meta"):
        encoder = Encoder("stg", config(name, {}), KINECT_V2, bodies=2)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert (count, encoder.feature_size) == (expected, 256)
    assert round((count + 257 * classes) / 1e6, 2) == published


def test_parameters_of_the_transformer():
    """Of 256 dims, 8 layers and an MLP of 1024, with positions for each joint and segment."""
    with torch.device("meta"):
        encoder = Encoder("stg", config("transformer", {}, frames=120), KINECT_V2, bodies=2)
    embedding = 256 * (4 * 3 + 1) + 256 * (25 + 30)
    layer = 4 * 256 * 256 + 2 * 256 * 1024 + (3 + 1 + 4 + 1) * 256 + 4 * 256
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert count == embedding + 8 * layer + 2 * 256
    assert encoder.feature_size == 256


@pytest.mark.parametrize("bodies", [1, 2, 3])
@pytest.mark.parametrize("name", SMALL)
def test_features_of_any_layout_and_number_of_bodies(
    name: str, bodies: int, layout: SkeletonLayout
):
    encoder = built(name, layout, bodies).eval()
    view = torch.randn(3, bodies, 16, layout.num_joints, 3)
    features = encoder(view)
    assert features.shape == (3, SMALL[name].get("dim") or SMALL[name]["channels"][-1])
    alone = torch.cat([encoder(clip[None]) for clip in view])
    torch.testing.assert_close(alone, features, atol=1e-5, rtol=1e-5)
    assert (features[0] - features[1]).abs().max() > 1e-4
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_an_absent_body_counts_as_if_it_were_computed(
    name: str, small_layout: SkeletonLayout, monkeypatch: pytest.MonkeyPatch
):
    """Features, gradients and statistics of a step are those of the plain mean over bodies."""

    def plain(network: Any, view: torch.Tensor, bodies: torch.Tensor) -> torch.Tensor:
        return network(bodies, None).view(*view.shape[:2], -1).mean(dim=1)

    view = torch.randn(4, 2, 16, small_layout.num_joints, 3, dtype=torch.float64)
    view[[0, 2, 3], 1] = 0
    outcomes = []
    for _ in range(2):
        encoder = built(name, small_layout, 2).double()
        features = encoder(view)
        (features * torch.arange(features.numel()).view(features.shape)).sum().backward()
        gradients = [p.grad for p in encoder.parameters() if p.grad is not None]
        buffers = [b for b in encoder.buffers() if b.is_floating_point()]
        outcomes.append([features.detach(), *gradients, *buffers])
        monkeypatch.setattr(f"skelcon.encoders.{name}.mean_over_bodies", plain)
    for mine, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-9, rtol=1e-9)


def test_dropout_of_st_gcn_acts_in_training_alone(small_layout: SkeletonLayout):
    encoder = built("stgcn", small_layout, 2, dropout=0.5)
    view = torch.randn(4, 2, 16, small_layout.num_joints, 3)
    view[0, 1] = 0
    assert not torch.equal(encoder(view), encoder(view))
    encoder.eval()
    assert torch.equal(encoder(view), encoder(view))


@pytest.mark.parametrize("name", SMALL)
def test_its_weights_are_written_and_read(name: str, small_layout: SkeletonLayout, tmp_path: Path):
    encoder = built(name, small_layout, 2).eval()
    chosen = config(name, SMALL[name])
    path = tmp_path / "weights.safetensors"
    save_encoders(path, {"stg": encoder}, chosen, small_layout, 2)
    read, again = load_encoders(path)
    assert again.resolved(["stg"]) == chosen.resolved(["stg"])
    assert chosen.resolved(["stg"])["custom"]["stg"]["encoder"] == name
    view = torch.randn(2, 2, 16, small_layout.num_joints, 3)
    assert torch.equal(read["stg"](view), encoder(view))


@pytest.mark.parametrize(
    ("representation", "name", "options", "message"),
    [
        ("seq", "ctrgcn", {}, "custom.seq.encoder: ctrgcn takes stg or img, not seq"),
        ("stg", "transformer", {"segment": 5}, "encoders.frames 16 is not a multiple of the 5"),
        ("stg", "transformer", {"heads": 7}, "dim 256 is not a multiple of heads, 7"),
        ("img", "ctrgcn", {"channels": [6], "strides": [1]}, "multiples of 4, the temporal br"),
        ("stg", "stgcn", {"kernel": 4}, "the temporal kernel must be odd"),
        ("stg", "stgcn", {"droput": 0}, "encoder 'stgcn', droput: "),
        ("stg", "stgnc", {}, "unknown encoder 'stgnc': did you mean 'stgcn'"),
    ],
)
def test_a_wrong_choice_says_what_is_valid(
    representation: str, name: str, options: dict[str, Any], message: str
):
    custom = {representation: {"encoder": name, "options": options}}
    with pytest.raises(ValidationError, match=message):
        EncodersConfig.model_validate({"custom": custom, "frames": 16})
