"""The layout of the authors' checkpoints, written down, and what each encoder must give."""

import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint_helpers import Shapes, State, batch_norm, conv, filled, layer, norm
from torch import Tensor, nn
from torch.nn import functional

from skelcon.data import KINECT_V2
from skelcon.encoders import AGCNConfig, BiGRUConfig, HCNConfig
from skelcon.errors import UserError
from skelcon.pretrain import load_encoder
from skelcon.pretrain.foreign import SOURCES, import_weights, read_checkpoint

B, M, T, V, C = 3, 2, 32, 25, 3
HIDDEN, LAYERS = 5, 2
CHANNELS, STRIDES, KERNEL = (8, 8, 12), (1, 1, 2), 3
WIDTH, WINDOW = 4, 32


def head(size: int, mlp: bool) -> Shapes:
    if mlp:
        return {**layer("fc.0", size, size), **layer("fc.2", 7, size)}
    return layer("fc", 7, size)


def gru_shapes(mlp: bool = True) -> Shapes:
    shapes = head(2 * HIDDEN, mlp)
    for i, end in itertools.product(range(LAYERS), ("", "_reverse")):
        gates = 3 * HIDDEN
        shapes[f"encoder.gru.weight_ih_l{i}{end}"] = (gates, 2 * HIDDEN if i else V * C * M)
        shapes[f"encoder.gru.weight_hh_l{i}{end}"] = (gates, HIDDEN)
        shapes[f"encoder.gru.bias_ih_l{i}{end}"] = (gates,)
        shapes[f"encoder.gru.bias_hh_l{i}{end}"] = (gates,)
    return shapes


def agcn_shapes(mlp: bool = True) -> Shapes:
    shapes = {**norm("data_bn", M * V * C), **head(CHANNELS[-1], mlp)}
    inputs = C
    for i, outputs in enumerate(CHANNELS, start=1):
        shapes[f"l{i}.gcn1.PA"] = (3, V, V)
        for k in range(3):
            shapes |= layer(f"l{i}.gcn1.conv_a.{k}", outputs // 4, inputs, 1, 1)
            shapes |= layer(f"l{i}.gcn1.conv_b.{k}", outputs // 4, inputs, 1, 1)
            shapes |= layer(f"l{i}.gcn1.conv_d.{k}", outputs, inputs, 1, 1)
        shapes |= norm(f"l{i}.gcn1.bn", outputs)
        if inputs != outputs:
            shapes |= layer(f"l{i}.gcn1.down.0", outputs, inputs, 1, 1)
            shapes |= norm(f"l{i}.gcn1.down.1", outputs)
        shapes |= layer(f"l{i}.tcn1.conv", outputs, outputs, KERNEL, 1)
        shapes |= norm(f"l{i}.tcn1.bn", outputs)
        if i > 1 and inputs != outputs:
            shapes |= layer(f"l{i}.residual.conv", outputs, inputs, 1, 1)
            shapes |= norm(f"l{i}.residual.bn", outputs)
        inputs = outputs
    return shapes


def hcn_shapes(mlp: bool = True) -> Shapes:
    shapes = head(4 * WIDTH * (T // 16) * (WINDOW // 16), mlp)
    for m in ("", "m"):
        shapes |= layer(f"conv1{m}.0", WIDTH, C, 1, 1)
        shapes |= layer(f"conv2{m}", WINDOW, WIDTH, 3, 1)
        shapes |= layer(f"conv3{m}.0", WIDTH // 2, V, 3, 3)
        shapes |= layer(f"conv4{m}.0", WIDTH, WIDTH // 2, 3, 3)
    shapes |= layer("conv5.0", 2 * WIDTH, 2 * WIDTH, 3, 3)
    return shapes | layer("conv6.0", 4 * WIDTH, 2 * WIDTH, 3, 3)


SHAPES: dict[str, Callable[..., Shapes]] = {
    "img": hcn_shapes,
    "stg": agcn_shapes,
    "seq": gru_shapes,
}


def moco(*encoders: State) -> State:
    """A state dict of their contrast: one encoder intra-skeleton, two inter-skeleton."""
    state = {}
    for i, (query, key) in enumerate((("encoder_q", "encoder_k"), ("encoder_r", "encoder_l"))):
        if i < len(encoders):
            state |= {f"{query}.{name}": value for name, value in encoders[i].items()}
            state |= {f"{key}.{name}": value + 1 for name, value in encoders[i].items()}
    ends = ("",) if len(encoders) == 1 else ("_S1", "_S2")
    for end in ends:
        state[("Queue" if end else "queue") + end] = torch.randn(7, 16)
        state[f"queue_ptr{end}"] = torch.zeros(1, dtype=torch.long)
    return state


def saved(path: Path, state: State, parallel: bool = False) -> Path:
    named = {f"module.{name}" if parallel else name: value for name, value in state.items()}
    momentum = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.01}]}
    torch.save({"epoch": 451, "state_dict": named, "optimizer": momentum}, path)
    return path


def view() -> Tensor:
    """Clips of two bodies, one of them without its second."""
    x = torch.randn(B, M, T, V, C)
    x[1, 1] = 0
    return x


def gru_reference(w: State, x: Tensor) -> Tensor:
    """One frame a call, the state carried over; the last call's output."""
    gru = nn.GRU(V * C * M, HIDDEN, LAYERS, batch_first=True, bidirectional=True).double()
    start = "encoder.gru."
    gru.load_state_dict({k.removeprefix(start): v for k, v in w.items() if k.startswith(start)})
    frames, state = x.permute(0, 2, 3, 4, 1).flatten(2), None
    for t in range(T):
        out, state = gru(frames[:, t : t + 1], state)
    return out[:, -1]


def hcn_reference(w: State, x: Tensor) -> Tensor:
    """Position and motion of each of the two bodies, the maximum over them."""
    pool = functional.max_pool2d
    bodies = []
    for body in x.permute(1, 0, 4, 2, 3):  # (B, C, T, V)
        motion = functional.interpolate(body[:, :, 1:] - body[:, :, :-1], (T, V), mode="bilinear")
        streams = []
        for m, image in (("", body), ("m", motion)):
            out = conv(w, f"conv2{m}", conv(w, f"conv1{m}.0", image).relu()).permute(0, 3, 2, 1)
            streams.append(pool(conv(w, f"conv4{m}.0", pool(conv(w, f"conv3{m}.0", out), 2)), 2))
        out = pool(conv(w, "conv5.0", torch.cat(streams, dim=1)).relu(), 2)
        bodies.append(pool(conv(w, "conv6.0", out).relu(), 2))
    return torch.maximum(*bodies).flatten(1)


def graph_by_hand() -> Tensor:
    graph = torch.zeros(3, V, V, dtype=torch.float64)
    for v in range(V):
        graph[0, v, v] = 1
        children = [child for child, parent in KINECT_V2.bones if parent == v]
        for child in children:
            graph[1, v, child] = 1
            graph[2, child, v] = 1 / len(children)
    return graph


def agcn_reference(w: State, x: Tensor) -> Tensor:
    """Three graph convolutions a unit, each with its own bias, then one over time."""
    graph = graph_by_hand()
    x = batch_norm(w, "data_bn", x.permute(0, 1, 3, 4, 2).reshape(B, M * V * C, T))
    x = x.view(B, M, V, C, T).permute(0, 1, 3, 4, 2).reshape(B * M, C, T, V)
    for i, (outputs, stride) in enumerate(zip(CHANNELS, STRIDES, strict=True), start=1):
        gcn, inputs = f"l{i}.gcn1", x.shape[1]
        y = torch.zeros(B * M, outputs, x.shape[2], V, dtype=torch.float64)
        for k in range(3):
            theta, phi = (conv(w, f"{gcn}.conv_{ab}.{k}", x).flatten(1, 2) for ab in "ab")
            scores = torch.einsum("nfv,nfw->nvw", theta, phi) / theta.shape[1]
            adjacency = scores.softmax(dim=1) + graph[k] + w[f"{gcn}.PA"][k]
            y += conv(w, f"{gcn}.conv_d.{k}", torch.einsum("nctv,nvw->nctw", x, adjacency))
        down = x
        if inputs != outputs:
            down = batch_norm(w, f"{gcn}.down.1", conv(w, f"{gcn}.down.0", x))
        y = (batch_norm(w, f"{gcn}.bn", y) + down).relu()
        y = batch_norm(w, f"l{i}.tcn1.bn", conv(w, f"l{i}.tcn1.conv", y, stride))
        if i > 1 and inputs == outputs:
            y += x
        elif i > 1:
            residual = conv(w, f"l{i}.residual.conv", x, stride)
            y += batch_norm(w, f"l{i}.residual.bn", residual)
        x = y.relu()
    return x.view(B, M, outputs, -1).mean(dim=3).mean(dim=1)


REFERENCES = {"img": hcn_reference, "stg": agcn_reference, "seq": gru_reference}
CONFIGS = {
    "img": HCNConfig(channels=WIDTH, cooccurrence=WINDOW),
    "stg": AGCNConfig(channels=CHANNELS, strides=STRIDES, kernel=KERNEL),
    "seq": BiGRUConfig(hidden=HIDDEN, layers=LAYERS, stepwise=True),
}


def assert_equals_reference(name: str, state: State, encoder: nn.Module) -> None:
    x = view()
    expected = REFERENCES[name]({k: v.double() for k, v in state.items()}, x.double())
    with torch.no_grad():
        got = encoder(x).double()
    assert (expected.std(dim=0) > 1e-3).double().mean() >= 0.5  # the others, ReLU has silenced
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("parallel", [False, True], ids=["plain", "DataParallel"])
@pytest.mark.parametrize("mlp", [False, True], ids=["linear", "mlp"])
@pytest.mark.parametrize("name", SHAPES)
def test_an_intra_checkpoint_gives_the_features_of_its_query_encoder(
    name: str, mlp: bool, parallel: bool, tmp_path: Path
):
    state = filled(SHAPES[name](mlp))
    path = saved(tmp_path / "checkpoint_0450.pth.tar", moco(state), parallel)
    out = tmp_path / "weights.safetensors"
    found, written = import_weights(path, out, frames=T)
    assert found is SOURCES["authors"]
    assert list(written) == [name]
    encoder = load_encoder(out)
    assert (encoder.representation, encoder.bodies, encoder.frames) == (name, M, T)
    assert encoder.layout == KINECT_V2
    assert not encoder.training
    assert getattr(read_checkpoint(path, T)[1], name) == CONFIGS[name]
    assert_equals_reference(name, state, encoder)
    assert_equals_reference(name, state, written[name])


@pytest.mark.parametrize("pair", list(itertools.permutations(SHAPES, 2)), ids="+".join)
def test_an_inter_checkpoint_gives_both(pair: tuple[str, str], tmp_path: Path):
    states = {name: filled(SHAPES[name]()) for name in pair}
    path = saved(tmp_path / "a.pth.tar", moco(*states.values()), parallel=True)
    import_weights(path, tmp_path / "weights.safetensors", frames=T)
    for name, state in states.items():
        assert_equals_reference(name, state, load_encoder(tmp_path, name))


def test_the_frames_are_the_image_encoders_or_64(tmp_path: Path):
    image = saved(tmp_path / "img.pth.tar", moco(filled(hcn_shapes())))
    assert read_checkpoint(image)[1].frames == T
    with pytest.raises(UserError, match="an encoder of 32 frames, not 64"):
        read_checkpoint(image, frames=64)
    sequence = saved(tmp_path / "seq.pth.tar", moco(filled(gru_shapes())))
    assert read_checkpoint(sequence)[1].frames == 64
    assert read_checkpoint(sequence, frames=48)[0]["seq"].frames == 48


def test_the_number_of_bodies_is_read(tmp_path: Path):
    shapes = gru_shapes()
    for end in ("", "_reverse"):
        shapes[f"encoder.gru.weight_ih_l0{end}"] = (3 * HIDDEN, V * C)
    one = filled(shapes)
    assert read_checkpoint(saved(tmp_path / "one.pth.tar", moco(one)))[0]["seq"].bodies == 1
    mixed = saved(tmp_path / "mixed.pth.tar", moco(one, filled(agcn_shapes())))
    with pytest.raises(UserError, match=r"different numbers of bodies: \[1, 2\]"):
        read_checkpoint(mixed)


def test_reading_leaves_the_global_generator_alone(tmp_path: Path):
    path = saved(tmp_path / "a.pth.tar", moco(filled(gru_shapes())))
    before = torch.get_rng_state()
    read_checkpoint(path)
    assert torch.equal(torch.get_rng_state(), before)


MISSING = [
    ("seq", "encoder.gru.weight_hh_l0"),
    ("seq", "encoder.gru.bias_ih_l1_reverse"),
    ("stg", "l1.tcn1.conv.weight"),
    ("stg", "l2.gcn1.PA"),
    ("stg", "l2.gcn1.conv_b.2.bias"),
    ("stg", "l3.residual.bn.running_var"),
    ("stg", "data_bn.num_batches_tracked"),
    ("img", "conv1.0.weight"),
    ("img", "conv2m.weight"),
    ("img", "fc.2.bias"),
]


@pytest.mark.parametrize(("name", "tensor"), MISSING)
def test_a_missing_tensor_is_named(name: str, tensor: str, tmp_path: Path):
    state = filled(SHAPES[name]())
    del state[tensor]
    path, out = saved(tmp_path / "a.pth.tar", moco(state)), tmp_path / "b.safetensors"
    with pytest.raises(UserError, match=re.escape(f"'encoder_q.{tensor}' is missing")):
        import_weights(path, out)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", SHAPES)
def test_an_unexpected_tensor_is_named(name: str, tmp_path: Path):
    state = {**filled(SHAPES[name]()), "extra.weight": torch.ones(2)}
    with pytest.raises(UserError, match=r"'encoder_q\.extra\.weight' is unexpected"):
        read_checkpoint(saved(tmp_path / "a.pth.tar", moco(state)))
    other = {**moco(filled(SHAPES[name]())), "encoder_x.fc.weight": torch.ones(2)}
    with pytest.raises(UserError, match=r"unexpected 'encoder_x\.fc\.weight'"):
        read_checkpoint(saved(tmp_path / "b.pth.tar", other))


WRONG = [
    ("seq", "encoder.gru.weight_ih_l1", (15, 9), "(15, 9), expected (15, 10)"),
    ("seq", "encoder.gru.weight_hh_l0", (15,), "(15,), expected 2 axes"),
    ("seq", "fc.0.weight", (10, 9), "(10, 9), expected (10, 10)"),
    ("stg", "l2.gcn1.PA", (3, 18, 18), "(3, 18, 18), expected (3, 25, 25)"),
    ("stg", "l3.gcn1.conv_a.0.weight", (2, 8, 1, 1), "(2, 8, 1, 1), expected (3, 8, 1, 1)"),
    ("stg", "l2.tcn1.conv.weight", (8, 8, 5, 1), "(8, 8, 5, 1), expected (8, 8, 3, 1)"),
    ("img", "conv3.0.weight", (2, 18, 3, 3), "(2, 18, 3, 3), expected (2, 25, 3, 3)"),
    ("img", "conv5.0.bias", (7,), "(7,), expected (8,)"),
]


@pytest.mark.parametrize(("name", "tensor", "shape", "shown"), WRONG)
def test_a_wrong_shape_is_named(
    name: str, tensor: str, shape: tuple[int, ...], shown: str, tmp_path: Path
):
    state = {**filled(SHAPES[name]()), tensor: torch.ones(shape)}
    with pytest.raises(UserError, match=re.escape(f"'encoder_q.{tensor}' has the shape {shown}")):
        read_checkpoint(saved(tmp_path / "a.pth.tar", moco(state)))


SIZES = [
    ("seq", "encoder.gru.weight_ih_l0", (15, 108), "108 values per frame, not a multiple"),
    ("stg", "data_bn.weight", (108,), "108 values per frame, not a multiple"),
    ("img", "fc.0.weight", (60, 60), "60 features, not a multiple of 32"),
    ("img", "conv2.weight", (24, WIDTH, 3, 1), "a size that HCN cannot have: .*multiple of 16"),
]


@pytest.mark.parametrize(("name", "tensor", "shape", "shown"), SIZES)
def test_an_impossible_size_is_an_error(
    name: str, tensor: str, shape: tuple[int, ...], shown: str, tmp_path: Path
):
    state = {**filled(SHAPES[name]()), tensor: torch.ones(shape)}
    with pytest.raises(UserError, match=shown):
        read_checkpoint(saved(tmp_path / "a.pth.tar", moco(state)))


class MakesDirectory:
    """Unpickling it would create a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path):
    path, made = tmp_path / "evil.pth.tar", tmp_path / "made"
    torch.save({"state_dict": moco(filled(gru_shapes())), "epoch": MakesDirectory(made)}, path)
    with pytest.raises(UserError, match=r"without running code from it: it needs '\w+\.mkdir'"):
        read_checkpoint(path)
    assert not made.exists()


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ({"epoch": 1}, "has no 'state_dict'"),
        ([1, 2], "has no 'state_dict'"),
        ({"state_dict": {"encoder_r.fc.weight": torch.ones(1)}}, "holds no 'encoder_q'"),
        ({"state_dict": {"fc.weight": torch.ones(1)}}, "not a checkpoint of"),
        ({"state_dict": {"encoder_q.fc.weight": 3.0}}, "unexpected 'encoder_q.fc.weight'"),
        ({"state_dict": {"encoder_q.fc.weight": torch.ones(1)}}, "not one of the encoders"),
    ],
)
def test_another_kind_of_checkpoint_is_an_error(content: object, shown: str, tmp_path: Path):
    torch.save(content, tmp_path / "a.pth.tar")
    with pytest.raises(UserError, match=shown):
        read_checkpoint(tmp_path / "a.pth.tar")


def test_two_encoders_of_a_kind_are_an_error(tmp_path: Path):
    states = [filled(gru_shapes()) for _ in range(2)]
    with pytest.raises(UserError, match="two encoders of the representation seq"):
        read_checkpoint(saved(tmp_path / "a.pth.tar", moco(*states)))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 broken"])
def test_a_damaged_or_missing_file_is_the_users_mistake(content: bytes, tmp_path: Path):
    path = tmp_path / "a.pth.tar"
    with pytest.raises(UserError, match="no checkpoint at"):
        read_checkpoint(path)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.pth\.tar' ") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
