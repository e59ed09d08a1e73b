"""Streams against plain loops in float64, what stays absent, and how settings choose them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import skelcon
from skelcon.data import KINECT_V1, KINECT_V2, SkeletonLayout
from skelcon.encoders import STREAMS, Encoder, EncodersConfig, streamed
from skelcon.errors import UserError
from skelcon.plugins import register_stream
from skelcon.pretrain.weights import load_encoders, save_encoders
from skelcon.settings import resolve

NAMES = ("bone", "motion", "angle")
Array = NDArray[np.float64]


def reference(name: str, view: Array, layout: SkeletonLayout) -> Array:
    """A stream of a view (B, M, T, V, C) in which all is there, joint by joint."""
    result = np.zeros_like(view)
    parents = dict(layout.bones)
    T, V, D = view.shape[2], view.shape[3], layout.dimensions
    for t in range(T):
        for v in range(V):
            here = view[:, :, t, v]
            if name == "motion":
                other = view[:, :, min(t + 1, T - 1), v]
                result[:, :, t, v] = other - here
            else:
                other = view[:, :, t, parents.get(v, v)]
                result[:, :, t, v] = here - other
            if name == "angle" and v in parents:
                length = np.sqrt((result[:, :, t, v, :D] ** 2).sum(-1, keepdims=True))
                result[:, :, t, v, :D] = np.arccos(result[:, :, t, v, :D] / length)
            if D == 2:
                result[:, :, t, v, 2] = (here[..., 2] + other[..., 2]) / 2
    return result


def view_of(layout: SkeletonLayout, frames: int = 5, bodies: int = 2) -> Tensor:
    draws = np.random.default_rng(0)
    return torch.from_numpy(draws.normal(size=(3, bodies, frames, layout.num_joints, 3)))


@pytest.mark.parametrize("dimensions", [3, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_stream_is_what_its_paper_says(name: str, dimensions: Any, layout: SkeletonLayout):
    layout = replace(layout, dimensions=dimensions)
    view = view_of(layout)
    result = streamed(view, name, layout)
    np.testing.assert_allclose(result, reference(name, view.numpy(), layout), rtol=1e-9, atol=1e-9)
    assert streamed(view, "joint", layout) is view
    assert (result[..., layout.root, :dimensions] == 0).all() == (name != "motion")
    assert (result[:, :, -1, :, :dimensions] == 0).all() == (name == "motion")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_absent_stays_absent(name: str, layout: SkeletonLayout):
    """A body, its frames before it came, and a joint; nothing else changes."""
    whole = view_of(layout)
    child, parent = next(bone for bone in layout.bones if layout.centre not in bone)
    centre = layout.centre
    assert isinstance(centre, int)
    whole[:, 0, :, centre] = 0  # as clips are centred, on their main body
    view = whole.clone()
    view[0, 1] = 0
    view[1, 1, :3] = 0
    view[2, 0, :, parent] = 0
    result, expected = streamed(view, name, layout), streamed(whole, name, layout)
    assert (result[0, 1] == 0).all()
    assert (result[1, 1, :3] == 0).all()
    lost = [parent] if name == "motion" else [child, parent]
    assert (result[2, 0, :, lost] == 0).all()
    if name != "motion":
        beside = next(
            v for v, above in layout.bones if above == centre and v not in (child, parent)
        )
        assert (result[0, 0, :, beside] != 0).all()  # the centre is there, though all zeros
    same = torch.ones(view.shape[:4], dtype=torch.bool)
    same[0, 1] = same[1, 1, :3] = False
    same[2, 0, :, [v for v, above in layout.bones if parent in (v, above)] + [parent]] = False
    torch.testing.assert_close(result[same], expected[same], rtol=0, atol=0)


def test_of_another_body_the_centre_may_be_lost():
    view = view_of(KINECT_V2)
    centre = KINECT_V2.at_origin[0]
    view[:, 0, :, centre] = view[:, 1, :, centre] = 0
    result = streamed(view, "bone", KINECT_V2)
    for joint in [centre, *(v for v, above in KINECT_V2.bones if above == centre)]:
        assert (result[:, 1, :, joint] == 0).all()
        assert (result[:, 0, :, joint] != 0).all()


@pytest.mark.parametrize("name", ["bone", "angle"])
def test_clips_may_be_centred_on_their_root_body_by_body(name: str):
    """Clips of frame50 npy are; their bones equal the bones of the clips before centring."""
    away = view_of(KINECT_V2)
    view = away - away[:, :, :, [KINECT_V2.root]]
    view[1, 1] = 0
    expected = reference(name, away.numpy(), KINECT_V2)
    result = streamed(view, name, KINECT_V2)
    there = view.ne(0).any(dim=-1).any(dim=-1)  # (B, M, T)
    np.testing.assert_allclose(result[there], expected[there], rtol=1e-9, atol=1e-9)
    assert (result[1, 1] == 0).all()


def test_a_bone_without_length_has_no_angle():
    view = view_of(KINECT_V1).float()
    child, parent = KINECT_V1.bones[3]
    view[..., child, :] = view[..., parent, :]
    result = streamed(view, "angle", KINECT_V1)
    assert (result[..., child, :] == 0).all()
    assert result.isfinite().all()


def config(stream: str, **changes: Any) -> EncodersConfig:
    tree = {"frames": 16, "seq": {"hidden": 4, "layers": 1}, "stream": stream, **changes}
    return EncodersConfig.model_validate(tree)


@pytest.mark.parametrize("name", ["seq", "coordinates"])
@pytest.mark.parametrize("stream", NAMES)
def test_encoders_see_the_stream(stream: str, name: str, tmp_path: Path):
    """Of every representation, also after their weights were saved."""
    view = view_of(KINECT_V1, frames=16).float()
    torch.manual_seed(0)
    encoder = Encoder(name, config(stream), KINECT_V1, 2).eval()
    torch.manual_seed(0)
    plain = Encoder(name, config("joint"), KINECT_V1, 2).eval()
    features = encoder(view)
    assert torch.equal(features, plain(streamed(view, stream, KINECT_V1)))
    assert not torch.equal(features, plain(view))
    if name == "seq":
        save_encoders(tmp_path / "w", {name: encoder}, config(stream), KINECT_V1, 2)
        loaded, again = load_encoders(tmp_path / "w")
        assert again.stream == stream
        assert torch.equal(loaded[name].eval()(view), features)


def test_only_another_stream_is_part_of_a_key():
    assert "stream" not in config("joint").resolved(["seq"])
    assert config("bone").resolved(["seq"]) == {
        **config("joint").resolved(["seq"]),
        "stream": "bone",
    }
    assert config("angle").resolved([])["stream"] == "angle"
    again = EncodersConfig.model_validate(config("motion").resolved(["seq"]))
    assert again.stream == "motion"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream of the README."""
    monkeypatch.setattr(STREAMS, "_registered", dict(STREAMS._registered))
    text = (Path(skelcon.__file__).parent / "README.md").read_text()
    (code,) = re.findall(r"<!-- stream -->\n```python\n(.*?)```", text, re.DOTALL)
    exec(code, {"__name__": "my_streams"})


def test_a_registered_stream(registered: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = config("from-root")
    resolved = own.resolved(["seq"])
    assert (resolved["stream"], resolved["stream_version"]) == ("from-root", "1")
    assert EncodersConfig.model_validate(resolved).resolved(["seq"]) == resolved
    view = view_of(KINECT_V1, frames=16).float()
    view[0, 1] = 0
    encoder = Encoder("seq", own, KINECT_V1, 2)
    seen = encoder.represented(view).view(3, 16, 20, 3, 2)
    assert (seen[..., KINECT_V1.root, :, :] == 0).all()
    assert (seen[0, ..., 1] == 0).all()
    save_encoders(tmp_path / "w", {"seq": encoder}, own, KINECT_V1, 2)
    with pytest.raises(ValueError, match=r"version 2 of the stream 'from-root' is required"):
        config("from-root", stream_version="2")
    monkeypatch.setattr(STREAMS, "_registered", {})
    with pytest.raises(UserError, match=r"needs the stream 'from-root', version 1"):
        load_encoders(tmp_path / "w")


def test_mistakes_are_reported_in_a_line(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match=r"unknown stream 'bones': did you mean 'bone'"):
        resolve([{"pretrain.encoders.stream": "bones"}], "test")
    with pytest.raises(ValueError, match="bone is built in"):
        config("bone", stream_version="1")
    monkeypatch.setattr(STREAMS, "_registered", {})
    register_stream("short", version=1)(lambda view, layout: view[:, :, 1:])
    with pytest.raises(
        UserError, match=r"stream 'short' returned \(3, 2, 4, 20, 3\), not the view's"
    ):
        streamed(view_of(KINECT_V1), "short", KINECT_V1)
    with pytest.raises(UserError, match=r"it must accept \(view, layout\)"):
        register_stream("alone", version=1)(lambda view: view)
