"""Checkpoints of AimCLR, CMD and MAMP, against references written from the papers.

Names and shapes of weights are as in the public code."""

import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_helpers import (
    Shapes,
    State,
    assert_equal,
    batch_norm,
    conv,
    doubled,
    filled,
    layer,
    norm,
    saved,
    under,
)
from torch import Tensor, nn
from torch.nn import functional

from skelcon import load_encoder
from skelcon.data import KINECT_V2
from skelcon.encoders import BiGRUConfig
from skelcon.errors import UserError
from skelcon.pretrain.foreign import SOURCES, import_weights, read_checkpoint

B, M, T, V, C = 3, 2, 20, 25, 3
WIDTHS = (4, 4, 4, 4, 8, 8, 8, 16, 16, 6)
KERNEL = 9
HIDDEN, LAYERS = 5, 2
DIM, DEPTH, HEADS, SEGMENT, MLP = 8, 2, 2, 4, 2
BONES = (
    "1-2 2-21 3-21 4-3 5-21 6-5 7-6 8-7 9-21 10-9 11-10 12-11 13-1 14-13 15-14 16-15 17-1 18-17 "
    "19-18 20-19 22-23 23-8 24-25 25-12"
)
"""Of NTU RGB+D, joints counted from 1: each from further away to nearer to joint 21."""


def partition() -> Tensor:
    """(3, V, V): a joint to itself; to the next towards joint 21; to the next away from it.

    The code knows the joints within one bone of joint 21; all others are equally far from it, and
    links between two of these are all in the second subset.
    """
    bones = [[int(number) - 1 for number in bone.split("-")] for bone in BONES.split()]
    distance = [1e9] * V
    distance[20] = 0
    for far, near in bones:
        if near == 20:
            distance[far] = 1
    graph = torch.zeros(3, V, V, dtype=torch.float64)
    graph[0] = torch.eye(V)
    for far, near in bones:
        for start, end in ((far, near), (near, far)):
            graph[2 if distance[start] < distance[end] else 1, start, end] = 1
    return graph / graph.sum(dim=(0, 1))


def stgcn_state() -> State:
    shapes: Shapes = norm("data_bn", V * C)
    inputs = C
    for i, outputs in enumerate(WIDTHS):
        unit = f"st_gcn_networks.{i}"
        shapes |= layer(f"{unit}.gcn.conv", 3 * outputs, inputs, 1, 1)
        shapes |= norm(f"{unit}.tcn.0", outputs) | norm(f"{unit}.tcn.3", outputs)
        shapes |= layer(f"{unit}.tcn.2", outputs, outputs, KERNEL, 1)
        if i and (inputs != outputs or i in (4, 7)):
            shapes |= layer(f"{unit}.residual.0", outputs, inputs, 1, 1)
            shapes |= norm(f"{unit}.residual.1", outputs)
        shapes[f"edge_importance.{i}"] = (3, V, V)
        inputs = outputs
    shapes |= {**layer("fc.0", inputs, inputs), **layer("fc.2", 7, inputs)}
    state = filled(shapes)
    for name, value in state.items():  # else ten units would leave nothing of a clip
        if "importance" in name:
            state[name] = 1 + 5 * value
        elif "conv" in name or "tcn.2.weight" in name:
            state[name] = 2 * value
    return {"A": partition().float(), **state}


def stgcn_reference(w: State, view: Tensor) -> Tensor:
    x = view.permute(0, 1, 3, 4, 2).reshape(B * M, V * C, T)
    x = batch_norm(w, "data_bn", x).view(B * M, V, C, T).permute(0, 2, 3, 1)
    for i, outputs in enumerate(WIDTHS):
        unit, stride = f"st_gcn_networks.{i}", 2 if i in (4, 7) else 1
        links = partition() * w[f"edge_importance.{i}"]
        each = conv(w, f"{unit}.gcn.conv", x).unflatten(1, (3, outputs))
        y = batch_norm(w, f"{unit}.tcn.0", torch.einsum("nkctv,kvw->nctw", each, links)).relu()
        y = batch_norm(w, f"{unit}.tcn.3", conv(w, f"{unit}.tcn.2", y, stride))
        if f"{unit}.residual.0.weight" in w:
            weight, bias = w[f"{unit}.residual.0.weight"], w[f"{unit}.residual.0.bias"]
            short = functional.conv2d(x, weight, bias, stride=(stride, 1))
            y = y + batch_norm(w, f"{unit}.residual.1", short)
        elif i:
            y = y + x
        x = y.relu()
    return x.mean(dim=(2, 3)).view(B, M, -1).mean(dim=1)


def gru_state() -> State:
    gru = nn.GRU(V * C * M, HIDDEN, LAYERS, bidirectional=True)
    head = {**layer("fc.0", 2 * HIDDEN, 2 * HIDDEN), **layer("fc.2", 7, 2 * HIDDEN)}
    weights = {name: value.detach().clone() for name, value in gru.state_dict().items()}
    return {**under("encoder.gru", weights), **filled({**norm("input_norm", V * C * M), **head})}


def gru_reference(w: State, view: Tensor) -> Tensor:
    """One frame a call, the state carried over; the last call's output."""
    gru = nn.GRU(V * C * M, HIDDEN, LAYERS, batch_first=True, bidirectional=True).double()
    start = "encoder.gru."
    gru.load_state_dict({k.removeprefix(start): v for k, v in w.items() if k.startswith(start)})
    values = view.permute(0, 3, 4, 1, 2).flatten(1, 3)  # (B, V * C * M, T)
    frames, state = batch_norm(w, "input_norm", values).transpose(1, 2), None
    for t in range(T):
        out, state = gru(frames[:, t : t + 1], state)
    return out[:, -1]


def mamp_state() -> State:
    shapes: Shapes = {
        **layer("joints_embed.proj", DIM, C, SEGMENT, 1),
        "pos_embed": (1, 1, V, DIM),
        "temp_embed": (1, T // SEGMENT, 1, DIM),
        **layer("norm", DIM),
    }
    for i in range(DEPTH):
        shapes |= layer(f"blocks.{i}.norm1", DIM) | layer(f"blocks.{i}.norm2", DIM)
        shapes |= layer(f"blocks.{i}.attn.qkv", 3 * DIM, DIM)
        shapes |= layer(f"blocks.{i}.attn.proj", DIM, DIM)
        shapes |= layer(f"blocks.{i}.mlp.fc1", MLP * DIM, DIM)
        shapes |= layer(f"blocks.{i}.mlp.fc2", DIM, MLP * DIM)
    decoder = {"mask_token": (1, 1, DIM), "decoder_pos_embed": (1, 1, V, DIM)}
    return filled({**shapes, **decoder, **layer("decoder_blocks.0.attn.qkv", 3 * DIM, DIM)})


def mamp_reference(w: State, view: Tensor, heads: int = HEADS) -> Tensor:
    x = view.permute(0, 1, 4, 2, 3).flatten(0, 1)  # (B * M, C, T, V)
    kernel = w["joints_embed.proj.weight"], w["joints_embed.proj.bias"]
    x = functional.conv2d(x, *kernel, stride=(SEGMENT, 1)).permute(0, 2, 3, 1)
    x = (x + w["pos_embed"] + w["temp_embed"]).flatten(1, 2)

    def linear(name: str, y: Tensor) -> Tensor:
        return y @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def normed(name: str, y: Tensor) -> Tensor:
        return functional.layer_norm(y, (DIM,), w[f"{name}.weight"], w[f"{name}.bias"])

    for i in range(DEPTH):
        block = f"blocks.{i}"
        parts = linear(f"{block}.attn.qkv", normed(f"{block}.norm1", x))
        q, k, v = (each.unflatten(2, (heads, -1)) for each in parts.chunk(3, dim=2))
        scores = torch.einsum("nihd,njhd->nhij", q, k) / (DIM // heads) ** 0.5
        mixed = torch.einsum("nhij,njhd->nihd", scores.softmax(dim=3), v).flatten(2)
        x = x + linear(f"{block}.attn.proj", mixed)
        hidden = linear(f"{block}.mlp.fc1", normed(f"{block}.norm2", x))
        x = x + linear(f"{block}.mlp.fc2", hidden * (1 + torch.erf(hidden / 2**0.5)) / 2)
    return normed("norm", x).mean(dim=1).view(B, M, -1).mean(dim=1)


def aimclr(**streams: State) -> State:
    """A state dict as torchlight saves it; CrosSCLR has an encoder for each stream."""
    states = streams or {"joint": stgcn_state()}
    ends = {"joint": "", "bone": "_bone", "motion": "_motion"}
    whole: State = {}
    for stream, state in states.items():
        whole |= under(f"encoder_q{ends[stream]}", state)
        whole |= under(f"encoder_k{ends[stream]}", {k: v + 1 for k, v in state.items()})
        whole[f"queue{ends[stream]}"] = torch.randn(7, 16)
        whole[f"queue_ptr{ends[stream]}"] = torch.zeros(1, dtype=torch.long)
    return whole


def cmd(**streams: State) -> dict[str, Any]:
    """A checkpoint as the training of CMD saves it, here from several processes."""
    states = {name: streams.get(name, gru_state()) for name in ("joint", "bone", "motion")}
    momentum = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.01}]}
    return {"epoch": 451, "state_dict": under("module", aimclr(**states)), "optimizer": momentum}


def mamp(state: State | None = None, **feeder: bool) -> dict[str, Any]:
    """A checkpoint as the training of MAMP saves it: with the command line."""
    arguments = Namespace(
        lr=1e-3,
        model_args={"dim_feat": DIM, "num_heads": HEADS},
        train_feeder_args={"bone": False, "vel": False, **feeder},
    )
    return {"model": mamp_state() if state is None else state, "epoch": 399, "args": arguments}


CHECKPOINTS: dict[str, Callable[[], object]] = {"aimclr": aimclr, "cmd": cmd, "mamp": mamp}
STATES: dict[str, tuple[Callable[[], State], Callable[[State], object]]] = {
    "aimclr": (stgcn_state, lambda state: aimclr(joint=state)),
    "cmd": (gru_state, lambda state: cmd(joint=state)),
    "mamp": (mamp_state, mamp),
}
REFERENCES = {"aimclr": stgcn_reference, "cmd": gru_reference, "mamp": mamp_reference}
WHAT = {
    "aimclr": ("stg", 50, "as_recorded"),
    "cmd": ("seq", 64, "first_frame"),
    "mamp": ("stg", T, "as_recorded"),
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def view() -> Tensor:
    """Clips of two bodies, one of them without its second."""
    x = torch.randn(B, M, 1, V, C) + torch.randn(B, M, T, V, C) / 2
    x[1, 1] = 0
    return x


@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "recognised"])
@pytest.mark.parametrize("name", STATES)
def test_features_are_the_original_networks(name: str, asked: bool, tmp_path: Path):
    make, whole = STATES[name]
    state, x = make(), view()
    path, out = saved(tmp_path / "a.pt", whole(state)), tmp_path / "weights.safetensors"
    found, written = import_weights(path, out, T, source=name if asked else None)
    assert found is SOURCES[name]
    encoder = load_encoder(out)
    representation, frames, orientation = WHAT[name]
    assert list(written) == [representation]
    assert (encoder.representation, encoder.bodies, encoder.frames) == (representation, M, T)
    assert (encoder.layout, encoder.orientation) == (KINECT_V2, orientation)
    assert not encoder.training
    expected = REFERENCES[name](doubled(state), x.double())
    assert_equal(encoder(x), expected)
    assert_equal(written[representation](x), expected)
    assert read_checkpoint(path)[1].frames == frames


def test_a_checkpoint_after_the_linear_evaluation(tmp_path: Path):
    state = {k: v for k, v in stgcn_state().items() if not k.startswith("fc.")}
    state |= filled(layer("fc", 60, WIDTHS[-1]))
    encoders, _ = read_checkpoint(saved(tmp_path / "a.pt", under("encoder_q", state)), T)
    x = view()
    assert_equal(encoders["stg"](x), stgcn_reference(doubled(state), x.double()))


def test_sizes_and_options_follow_from_the_tensors(tmp_path: Path):
    _, config = read_checkpoint(saved(tmp_path / "a.pt", aimclr()))
    assert config.chosen("stg").component.name == "stgcn"
    options = config.chosen("stg").options
    assert (tuple(options["channels"]), options["kernel"]) == (WIDTHS, KERNEL)
    assert options["strides"] == [1, 1, 1, 1, 2, 1, 1, 2, 1, 1]
    _, config = read_checkpoint(saved(tmp_path / "c.pt", cmd()))
    assert config.seq == BiGRUConfig(hidden=HIDDEN, layers=LAYERS, stepwise=True, input_norm=True)
    _, config = read_checkpoint(saved(tmp_path / "m.pt", mamp()))
    assert config.chosen("stg").options == {
        "dim": DIM,
        "depth": DEPTH,
        "heads": HEADS,
        "mlp_ratio": MLP,
        "segment": SEGMENT,
    }


def test_mamp_has_eight_heads_unless_its_options_differ(tmp_path: Path):
    state, x = mamp_state(), view()
    encoders, _ = read_checkpoint(saved(tmp_path / "m.pt", {"model": state, "epoch": 1}))
    assert_equal(encoders["stg"](x), mamp_reference(doubled(state), x.double(), heads=8))


def test_joints_are_taken_of_three_streams(tmp_path: Path):
    states = {name: stgcn_state() for name in ("joint", "bone", "motion")}
    encoders, _ = read_checkpoint(saved(tmp_path / "a.pt", aimclr(**states)), T)
    x = view()
    assert_equal(encoders["stg"](x), stgcn_reference(doubled(states["joint"]), x.double()))


def of_stream(x: Tensor, stream: str) -> Tensor:
    """Bones: from a joint to the next towards joint 21. Motion: to the next frame."""
    y = torch.zeros_like(x)
    if stream == "motion":
        y[:, :, :-1] = x[:, :, 1:] - x[:, :, :-1]
        return y
    for bone in BONES.split():
        far, near = (int(number) - 1 for number in bone.split("-"))
        y[..., far, :] = x[..., far, :] - x[..., near, :]
    return y


@pytest.mark.parametrize("stream", ["bone", "motion"])
@pytest.mark.parametrize("name", STATES)
def test_another_stream(name: str, stream: str, tmp_path: Path):
    make, whole = STATES[name]
    state, x = make(), view()
    content = {"aimclr": whole(state), "cmd": cmd(**{stream: state}), "mamp": whole(state)}[name]
    if name == "mamp":
        content["args"] = mamp(vel=stream == "motion", bone=stream == "bone")["args"]
    path = saved(tmp_path / "a.pt", content)
    asked = None if name == "mamp" else stream
    encoders, _ = read_checkpoint(path, T, stream=asked)
    expected = REFERENCES[name](doubled(state), of_stream(x.double(), stream))
    assert_equal(next(iter(encoders.values()))(x), expected)


def test_mistakes_about_streams(tmp_path: Path):
    path = saved(tmp_path / "m.pt", mamp(vel=True))
    with pytest.raises(UserError, match="was trained on the stream motion, not joint"):
        read_checkpoint(path, stream="joint")
    with pytest.raises(UserError, match="stream 'bones': did you mean 'bone'"):
        read_checkpoint(path, stream="bones")


def test_a_source_that_it_is_not(tmp_path: Path):
    path = saved(tmp_path / "a.pt", cmd())
    with pytest.raises(UserError, match="is a checkpoint of CMD, not of MAMP: --from cmd"):
        read_checkpoint(path, source="mamp")
    with pytest.raises(UserError, match="unknown source 'aim-clr': did you mean 'aimclr'"):
        read_checkpoint(path, source="aim-clr")
    other = saved(tmp_path / "b.pt", {"conv1.weight": torch.ones(2)})
    with pytest.raises(UserError, match=r"not a checkpoint of .* \(it has 'conv1.weight'\)"):
        read_checkpoint(other)
    with pytest.raises(UserError, match="not a checkpoint of"):
        read_checkpoint(other, source="cmd")


@pytest.mark.parametrize(
    ("tensor", "network"),
    [
        ("module.backbone.t_tr.CA.conv1.weight", "DSTE"),
        ("backbone.t_tr.layers.0.norm1.bias", "STTR"),
    ],
)
def test_usdrl_is_refused_with_the_reason(tensor: str, network: str, tmp_path: Path):
    start = "module." if tensor.startswith("module.") else ""
    state = {f"{start}backbone.ske_emb.t_embedding.0.weight": torch.ones(2), tensor: torch.ones(2)}
    path = saved(tmp_path / "a.pth.tar", {"state_dict": state, "epoch": 1})
    with pytest.raises(
        UserError, match=rf"USDRL's encoder \({network}: .* does not exist in skelcon"
    ):
        read_checkpoint(path)


CHANGES = [
    ("aimclr", "A", partition()[[0, 2, 1]].float(), "'encoder_q.A' is not the spatial partition"),
    ("aimclr", "A", torch.ones(3, 18, 18), "'encoder_q.A' has the shape (3, 18, 18), expected"),
    ("aimclr", "edge_importance.3", None, "'encoder_q.edge_importance.3' is missing"),
    ("aimclr", "st_gcn_networks.10.tcn.0.weight", torch.ones(6), "has 11 units, not ST-GCN's 10"),
    ("aimclr", "data_bn.weight", torch.ones(54), "'encoder_q.data_bn.weight' has the shape (54,)"),
    ("aimclr", "extra", torch.ones(1), "'encoder_q.extra' is unexpected"),
    ("cmd", "input_norm.running_var", None, "'encoder_q.input_norm.running_var' is missing"),
    (
        "cmd",
        "encoder.gru.weight_ih_l0",
        torch.ones(15, 108),
        "108 values per frame, not a multiple",
    ),
    ("cmd", "embedding.weight", torch.ones(2), "'encoder_q.embedding.weight' is unexpected"),
    ("mamp", "head.fc.weight", torch.ones(60, DIM), "'head' is of a classifier"),
    ("mamp", "pos_embed", torch.ones(1, 1, 17, DIM), "(1, 1, 17, 8), expected (1, 1, 25, 8)"),
    ("mamp", "blocks.0.mlp.fc1.weight", torch.ones(12, DIM), "has 12 units, not a multiple of 8"),
    ("mamp", "blocks.1.attn.qkv.bias", None, "'blocks.1.attn.qkv.bias' is missing"),
    ("mamp", "cls_token", torch.ones(1), "'cls_token' is unexpected"),
]


@pytest.mark.parametrize(("name", "tensor", "value", "shown"), CHANGES)
def test_another_network_is_refused_with_the_reason(
    name: str, tensor: str, value: Tensor | None, shown: str, tmp_path: Path
):
    make, whole = STATES[name]
    state = {key: each for key, each in make().items() if key != tensor}
    if value is not None:
        state[tensor] = value
    path, out = saved(tmp_path / "a.pt", whole(state)), tmp_path / "b.safetensors"
    with pytest.raises(UserError, match=re.escape(shown)):
        import_weights(path, out)
    assert list(tmp_path.iterdir()) == [path]


def test_a_size_that_the_encoder_cannot_have(tmp_path: Path):
    content = mamp()
    content["args"].model_args["num_heads"] = 3
    with pytest.raises(UserError, match="a size that Transformer cannot have: dim 8 is not"):
        read_checkpoint(saved(tmp_path / "a.pt", content))
    path = saved(tmp_path / "b.pt", mamp())
    with pytest.raises(UserError, match=f"holds an encoder of {T} frames, not 64"):
        read_checkpoint(path, frames=64)


def test_a_command_line_that_holds_more_than_values_is_refused(tmp_path: Path):
    content = mamp()
    content["args"].output = Path("out")
    with pytest.raises(UserError, match=r"without running code from it: it needs '\S*PosixPath'"):
        read_checkpoint(saved(tmp_path / "a.pt", content))
