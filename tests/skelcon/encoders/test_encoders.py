import numpy as np
import pytest
import torch
from pydantic import ValidationError

from skelcon.data import KINECT_V2, SkeletonLayout
from skelcon.encoders import (
    REPRESENTATIONS,
    AGCNConfig,
    BiGRUConfig,
    Encoder,
    EncodersConfig,
    HCNConfig,
    ProjectionHead,
    Representation,
    represent,
)
from skelcon.encoders.representations import InputNorm

SCALED_DOWN = EncodersConfig(
    img=HCNConfig(channels=4, cooccurrence=32),
    stg=AGCNConfig(channels=(8, 12), strides=(2, 1), kernel=5),
    seq=BiGRUConfig(hidden=6, layers=2),
    frames=32,
)
SCALED_DOWN_SIZES = {"img": 4 * 4 * 2 * 2, "stg": 12, "seq": 12}
PAPER = {
    "img": (519_424, 4096, 17_305_728),
    "stg": (3_451_274, 256, 98_688),
    "seq": (44_998_656, 2048, 4_458_624),
}


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_parameters_and_features_at_the_papers_size(name: Representation):
    with torch.device("meta"):
        encoder = Encoder(name, EncodersConfig(), KINECT_V2, bodies=2)
        head = ProjectionHead(encoder.feature_size, None, 128)
    assert (count(encoder), encoder.feature_size, count(head)) == PAPER[name]


@pytest.mark.parametrize("bodies", [1, 2])
@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_features_of_a_scaled_down_encoder(
    name: Representation, bodies: int, layout: SkeletonLayout
):
    torch.manual_seed(0)
    encoder = Encoder(name, SCALED_DOWN, layout, bodies)
    view = torch.randn(3, bodies, 32, layout.num_joints, 3)
    features = encoder(view)
    assert features.shape == (3, encoder.feature_size) == (3, SCALED_DOWN_SIZES[name])
    assert features.isfinite().all()
    encoder.eval()
    together = encoder(view)
    alone = torch.cat([encoder(sample[None]) for sample in view])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0], together[1])


def test_representations_by_index():
    """STG and IMG are channels first; SEQ is joint-major, then coordinate, body fastest."""
    B, M, T, V, C = 2, 2, 3, 5, 3
    view = torch.randn(B, M, T, V, C)
    img, stg, seq = (represent(view, name) for name in REPRESENTATIONS)
    assert img.shape == stg.shape == (B, M, C, T, V)
    assert seq.shape == (B, T, V * C * M)
    for b, m, t, v, c in np.ndindex(*view.shape):
        assert img[b, m, c, t, v] == stg[b, m, c, t, v] == view[b, m, t, v, c]
        assert seq[b, t, (v * C + c) * M + m] == view[b, m, t, v, c]


def test_input_norm_is_for_each_coordinate_of_each_joint_of_each_body():
    x = torch.randn(4, 2, 3, 6, 5) * 3 + 1
    norm = InputNorm(bodies=2, joints=5)
    torch.nn.init.uniform_(norm.norm.weight)
    torch.nn.init.uniform_(norm.norm.bias)
    wide = x.double().numpy()
    mean, variance = (f(wide, axis=(0, 3), keepdims=True) for f in (np.mean, np.var))
    scale, shift = (
        p.detach().double().numpy().reshape(2, 5, 3).transpose(0, 2, 1)[None, :, :, None]
        for p in (norm.norm.weight, norm.norm.bias)
    )
    expected = (wide - mean) / np.sqrt(variance + 1e-5) * scale + shift
    np.testing.assert_allclose(norm(x).detach(), expected, atol=1e-5)


@pytest.mark.parametrize("hidden", [None, 7])
def test_projection_head_is_an_mlp_to_the_unit_sphere(hidden: int | None):
    head = ProjectionHead(5, hidden, 4)
    assert head.hidden.out_features == (hidden or 5)
    x = torch.randn(6, 5)
    w1, b1, w2, b2 = (p.detach().double().numpy() for p in head.parameters())
    z = np.maximum(x.double().numpy() @ w1.T + b1, 0) @ w2.T + b2
    expected = z / np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(head(x).detach(), expected, atol=1e-6)


@pytest.mark.parametrize(
    "values",
    [
        {"channels": (8,), "strides": (1, 1)},
        {"channels": (), "strides": ()},
        {"kernel": 4},
        {"channels": (6,), "strides": (1,)},
    ],
    ids=["strides", "empty", "even kernel", "not a multiple of 4"],
)
def test_an_inconsistent_graph_encoder_is_refused(values: dict[str, object]):
    with pytest.raises(ValidationError):
        AGCNConfig.model_validate(values)


def test_hcn_refuses_frames_that_it_cannot_halve_four_times():
    with pytest.raises(ValueError, match="40"):
        Encoder("img", EncodersConfig(frames=40), KINECT_V2, bodies=2)
