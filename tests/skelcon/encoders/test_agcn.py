import numpy as np
import pytest
import torch

from skelcon.data import SkeletonLayout
from skelcon.encoders import AGCN, AGCNConfig
from skelcon.encoders.agcn import spatial_graph

CONFIG = AGCNConfig(channels=(8, 8, 12), strides=(1, 1, 2), kernel=3)


def built(layout: SkeletonLayout, bodies: int = 2) -> AGCN:
    """A model in evaluation mode whose every parameter and statistic matters."""
    torch.manual_seed(0)
    model = AGCN(CONFIG, bodies, layout)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or parameter.dim() == 1 or "learned" in name:
                parameter.uniform_(-1, 1)
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    return model.eval()


def test_without_the_norm_of_its_input_the_units_see_the_coordinates(layout: SkeletonLayout):
    plain = AGCN(CONFIG.model_copy(update={"input_norm": False}), 2, layout).eval()
    whole = built(layout)
    assert set(whole.state_dict()) - set(plain.state_dict()) == {
        f"norm.norm.{name}"
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    plain.units.load_state_dict(whole.units.state_dict())
    x = torch.randn(3, 2, 3, 8, layout.num_joints)
    assert not torch.allclose(plain(x), whole(x))
    assert torch.equal(plain(whole.norm(x)), whole(x))
    # As the trainer hands it over: a permuted view of (B, M, T, V, C).
    permuted = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    assert torch.equal(plain(permuted), plain(x))


def double(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def batch_norm(norm: torch.nn.BatchNorm2d, x: np.ndarray) -> np.ndarray:
    mean, var, scale, shift = (
        double(value)[None, :, None, None]
        for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (x - mean) / np.sqrt(var + norm.eps) * scale + shift


def pointwise(conv: torch.nn.Conv2d, x: np.ndarray) -> np.ndarray:
    y = np.einsum("oc,nctv->notv", double(conv.weight)[:, :, 0, 0], x)
    return y + double(conv.bias)[None, :, None, None]


def graph_unit(unit: torch.nn.Module, x: np.ndarray, graph: np.ndarray, out: int) -> np.ndarray:
    """One adaptive graph convolution (2s-AGCN), a sample and a subset at a time."""
    N, C, T, V = x.shape
    E = out // 4
    weights = double(unit.attention.weight).reshape(2, 3, E, C)
    biases = double(unit.attention.bias).reshape(2, 3, E)
    combine = double(unit.out.weight).reshape(out, 3, C)
    learned = double(unit.learned)
    y = np.zeros((N, out, T, V)) + double(unit.out.bias)[None, :, None, None]
    for n in range(N):
        for k in range(3):
            theta, phi = (
                np.einsum("ec,ctv->etv", weights[i, k], x[n]) + biases[i, k][:, None, None]
                for i in (0, 1)
            )
            scores = np.zeros((V, V))
            for v in range(V):
                for w in range(V):
                    scores[v, w] = (theta[:, :, v] * phi[:, :, w]).sum() / (E * T)
            soft = np.exp(scores) / np.exp(scores).sum(axis=0, keepdims=True)
            adjacency = soft + graph[k] + learned[k]
            for o in range(out):
                for w in range(V):
                    mixed = (x[n] * adjacency[:, w]).sum(axis=2)
                    y[n, o, :, w] += combine[o, k] @ mixed
    y = batch_norm(unit.norm, y)
    if out != C:
        y += batch_norm(unit.down[1], pointwise(unit.down[0], x))
    else:
        y += x
    return np.maximum(y, 0)


def graph_by_hand(layout: SkeletonLayout) -> np.ndarray:
    V = layout.num_joints
    graph = np.zeros((3, V, V))
    for v in range(V):
        graph[0, v, v] = 1
        children = [child for child, parent in layout.bones if parent == v]
        for child in children:
            graph[1, v, child] = 1
            graph[2, child, v] = 1 / len(children)
    return graph


def test_the_graphs_columns_are_normalised(layout: SkeletonLayout):
    graph = spatial_graph(layout).numpy()
    np.testing.assert_allclose(graph, graph_by_hand(layout), atol=1e-7)
    parents = {parent for _, parent in layout.bones}
    expected = np.ones((3, layout.num_joints))
    expected[1, layout.root] = 0
    expected[2, [v for v in range(layout.num_joints) if v not in parents]] = 0
    np.testing.assert_allclose(graph.sum(axis=1), expected, atol=1e-6)


@pytest.mark.parametrize(("index", "inputs"), [(0, 3), (1, 8)], ids=["down", "identity"])
def test_a_graph_unit_equals_a_loop(layout: SkeletonLayout, index: int, inputs: int):
    unit = built(layout).units[index].spatial
    x = torch.randn(2, inputs, 4, layout.num_joints)
    expected = graph_unit(unit, double(x), graph_by_hand(layout), 8)
    np.testing.assert_allclose(double(unit(x)), expected, rtol=1e-4, atol=1e-4)


def temporal(branch: torch.nn.Sequential, x: np.ndarray, stride: int) -> np.ndarray:
    """A convolution over frames, padded to keep them, with its batch norm."""
    weight = double(branch[0].weight)[:, :, :, 0]
    half = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (0, 0), (half, half), (0, 0)))
    frames = [
        np.einsum("ock,nckv->nov", weight, padded[:, :, t : t + weight.shape[2]])
        for t in range(0, x.shape[2], stride)
    ]
    y = np.stack(frames, axis=2) + double(branch[0].bias)[None, :, None, None]
    return batch_norm(branch[1], y)


def test_the_whole_network_equals_a_reference():
    """The first unit has no residual, the second its input, the third a strided convolution."""
    layout = SkeletonLayout(
        "star", ("a", "b", "c", "d"), ((1, 0), (2, 0), (3, 2)), 0, (0, 1), (2, 3)
    )
    model, graph = built(layout), graph_by_hand(layout)
    B, M, T, V = 2, 2, 6, 4
    x = torch.randn(B, M, 3, T, V)
    mean, var, scale, shift = (
        double(value).reshape(M, V, 3).transpose(0, 2, 1)[None, :, :, None]
        for value in (
            model.norm.norm.running_mean,
            model.norm.norm.running_var,
            model.norm.norm.weight,
            model.norm.norm.bias,
        )
    )
    y = ((double(x) - mean) / np.sqrt(var + 1e-5) * scale + shift).reshape(B * M, 3, T, V)
    for i, (unit, out, stride) in enumerate(
        zip(model.units, CONFIG.channels, CONFIG.strides, strict=True)
    ):
        residual = 0 if i == 0 else y if i == 1 else temporal(unit.residual, y, stride)
        y = temporal(unit.temporal, graph_unit(unit.spatial, y, graph, out), stride)
        y = np.maximum(y + residual, 0)
    assert y.shape == (B * M, 12, 3, V)
    expected = y.reshape(B, M, 12, -1).mean(axis=(1, 3))
    np.testing.assert_allclose(double(model(x)), expected, rtol=1e-4, atol=1e-4)
