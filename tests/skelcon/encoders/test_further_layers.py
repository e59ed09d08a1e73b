"""The layers of ST-GCN, CTR-GCN and the transformer equal the papers' equations, in float64."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from skelcon.data import SkeletonLayout
from skelcon.encoders import (
    CTRGCN,
    STGCN,
    CTRGCNConfig,
    STGCNConfig,
    Transformer,
    TransformerConfig,
)
from skelcon.encoders.stgcn import spatial_partition

STAR = SkeletonLayout("star", ("a", "b", "c", "d"), ((1, 0), (2, 0), (3, 2)), 0, (0, 1), (2, 3))
V, T = 4, 6


def filled(model: nn.Module) -> nn.Module:
    """In evaluation mode, and every parameter and statistic matters."""
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=draws) * 2 - 1)
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.copy_(torch.rand(buffer.shape, generator=draws) + 0.5)
    return model.double().eval()


def random(*shape: int) -> Tensor:
    draws = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=draws, dtype=torch.float64)


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def norm(module: nn.Module, x: np.ndarray) -> np.ndarray:
    mean, var, scale, shift = (
        array(value)[None, :, None, None]
        for value in (module.running_mean, module.running_var, module.weight, module.bias)
    )
    return (x - mean) / np.sqrt(var + module.eps) * scale + shift


def over_frames(
    weight: np.ndarray, bias: np.ndarray, x: np.ndarray, stride: int = 1, dilation: int = 1
) -> np.ndarray:
    """(O, C, K) over (N, C, T, V): a frame at a time; zeros beyond the ends."""
    half, kernel = (weight.shape[2] - 1) // 2, weight.shape[2]
    frames = []
    for t in range(0, x.shape[2], stride):
        y = np.zeros((len(x), len(weight), x.shape[3])) + bias[None, :, None]
        for k in range(kernel):
            at = t + (k - half) * dilation
            if 0 <= at < x.shape[2]:
                y += np.einsum("oc,ncv->nov", weight[:, :, k], x[:, :, at])
        frames.append(y)
    return np.stack(frames, axis=2)


def conv_norm(module: nn.Module, x: np.ndarray, stride: int = 1, dilation: int = 1) -> np.ndarray:
    conv, after = module
    weight, bias = array(conv.weight)[..., 0], array(conv.bias)
    return norm(after, over_frames(weight, bias, x, stride, dilation))


def test_the_partition_is_of_the_degree_of_each_joint():
    """Joint a has the neighbours b and c, c has a and d."""
    graph = np.zeros((3, V, V))
    for joint, degree in enumerate((2, 1, 2, 1)):
        graph[0, joint, joint] = 1 / (1 + degree)
        for child, parent in STAR.bones:
            if joint == child:
                graph[1, parent, child] = 1 / (1 + degree)
            if joint == parent:
                graph[2, child, parent] = 1 / (1 + degree)
    np.testing.assert_allclose(array(spatial_partition(STAR)), graph, atol=1e-7)


def test_the_partition_of_the_public_code():
    """It handles a and b of the chain a - b - c - d: both directions of c - d are one subset."""
    chain = SkeletonLayout("chain", STAR.joints, ((1, 0), (2, 1), (3, 2)), 0, (0, 1), (2, 3))
    towards = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]])  # [from, to]
    away = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    graph = np.stack([np.eye(V), away, towards]) / [2, 3, 3, 2]
    np.testing.assert_allclose(array(spatial_partition(chain, "code")), graph, atol=1e-7)
    plain = STGCNConfig(partition="paper")
    assert plain.model_dump() == STGCNConfig().model_dump()
    assert "partition" not in plain.model_dump()  # nor in the key of any unit
    assert STGCNConfig(partition="code").model_dump()["partition"] == "code"
    one, other = (STGCN(STGCNConfig(partition=name), chain) for name in ("paper", "code"))
    assert not torch.equal(one.units[0].fixed, other.units[0].fixed)


def test_a_unit_of_st_gcn_equals_a_loop():
    model = filled(STGCN(STGCNConfig(channels=(5, 7), strides=(1, 2), kernel=3), STAR))
    x, unit = random(2, 5, T, V), model.units[1]
    A = array(unit.fixed * unit.importance)
    weight, bias = array(unit.spatial.weight).reshape(3, 7, 5), array(unit.spatial.bias)
    y = np.zeros((2, 7, T, V))
    for n, o, t, w in np.ndindex(y.shape):
        for k in range(3):
            for v in range(V):
                value = weight[k, o] @ array(x)[n, :, t, v] + bias.reshape(3, 7)[k, o]
                y[n, o, t, w] += value * A[k, v, w]
    y = conv_norm(unit.temporal, np.maximum(norm(unit.norm, y), 0), stride=2)
    expected = np.maximum(y + conv_norm(unit.residual, array(x), stride=2), 0)
    np.testing.assert_allclose(array(unit(x, None, nn.Identity())), expected, atol=1e-10)


def topology_by_hand(module: nn.Module, x: np.ndarray, O: int, R: int) -> np.ndarray:  # noqa: E741
    """CTR-GC, a body, subset, channel and pair of joints at a time."""
    N, C = x.shape[:2]
    pairs, of_pairs = array(module.pairs.weight).reshape(2, 3, R, C), array(module.pairs.bias)
    refine, of_refine = array(module.refine.weight).reshape(3, O, R), array(module.refine.bias)
    transform, of_it = array(module.transform.weight).reshape(3, O, C), array(module.transform.bias)
    shared, alpha = array(module.shared), array(module.alpha)
    y = np.zeros((N, O, x.shape[2], V))
    for n in range(N):
        for k in range(3):
            # Each frame is transformed, then the mean over frames is taken.
            frames = [pairs[:, k] @ x[n, :, t] for t in range(x.shape[2])]
            psi, phi = np.mean(frames, axis=0) + of_pairs.reshape(2, 3, R)[:, k, :, None]
            for u in range(V):
                for v in range(V):
                    q = refine[k] @ np.tanh(psi[:, u] - phi[:, v]) + of_refine.reshape(3, O)[k]
                    link = shared[k, u, v] + alpha * q
                    values = transform[k] @ x[n, :, :, v] + of_it.reshape(3, O)[k][:, None]
                    y[n, :, :, u] += link[:, None] * values
    return y


def test_channel_wise_topologies_equal_a_loop():
    config = CTRGCNConfig(channels=(8, 12), strides=(1, 1), reduction=4)
    model = filled(CTRGCN(config, 2, STAR))
    for unit, inputs, outputs, R in zip(model.units, (3, 8), (8, 12), (8, 2), strict=True):
        x = random(2, inputs, T, V)
        module = unit.spatial.topology
        expected = topology_by_hand(module, array(x), outputs, R)
        np.testing.assert_allclose(array(module(x)), expected, atol=1e-10)


def test_a_unit_of_ctr_gcn_equals_its_parts():
    """The graph convolution with its residual path, four temporal branches, the unit's own."""
    config = CTRGCNConfig(channels=(8, 12), strides=(1, 2), reduction=4)
    unit = filled(CTRGCN(config, 2, STAR)).units[1]
    x = array(random(2, 8, T, V))
    mixed = norm(unit.spatial.norm, topology_by_hand(unit.spatial.topology, x, 12, 2))
    y = np.maximum(mixed + conv_norm(unit.spatial.down, x), 0)
    temporal, branches = unit.temporal, []
    for reduce, conv, dilation in zip(temporal.reduced[:2], temporal.dilated, (1, 2), strict=True):
        branches.append(conv_norm(conv, np.maximum(conv_norm(reduce, y), 0), 2, dilation))
    pooled = np.maximum(conv_norm(temporal.reduced[2], y), 0)
    largest = [pooled[:, :, max(0, t - 1) : t + 2].max(axis=2) for t in range(0, T, 2)]
    branches.append(norm(temporal.pool_norm, np.stack(largest, axis=2)))
    branches.append(conv_norm(temporal.direct, y, 2))
    expected = np.concatenate(branches, axis=1) + conv_norm(unit.residual, x, 2)
    got = unit(torch.from_numpy(x), None)
    np.testing.assert_allclose(array(got), np.maximum(expected, 0), atol=1e-10)


def layer_norm(module: nn.LayerNorm, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + module.eps)
    return scaled * array(module.weight) + array(module.bias)


def linear(module: nn.Linear, x: np.ndarray) -> np.ndarray:
    return x @ array(module.weight).T + array(module.bias)


def blocks_by_hand(model: nn.Module, y: np.ndarray, H: int) -> np.ndarray:
    """Blocks and last norm of a transformer on tokens (L, D): a head and a query at a time."""
    D, erf = y.shape[1], np.vectorize(math.erf)
    for block in model.blocks:
        q, k, v = np.split(linear(block.qkv, layer_norm(block.norm1, y)), 3, axis=1)
        mixed = np.zeros_like(y)
        for h in range(H):
            own = slice(h * D // H, (h + 1) * D // H)
            for i in range(len(y)):
                scores = np.exp(k[:, own] @ q[i, own] / math.sqrt(D / H))
                mixed[i, own] = scores / scores.sum() @ v[:, own]
        y = y + linear(block.out, mixed)
        hidden = linear(block.hidden, layer_norm(block.norm2, y))
        y = y + linear(block.back, hidden * 0.5 * (1 + erf(hidden / math.sqrt(2))))
    return layer_norm(model.norm, y)


def tokens_by_hand(model: nn.Module, body: np.ndarray, segment: int) -> np.ndarray:
    """What goes into the blocks of a body (C, T, V): a token by its index."""
    tokens = []
    for s in range(body.shape[1] // segment):
        for v in range(body.shape[2]):
            token = np.concatenate([body[:, s * segment + f, v] for f in range(segment)])
            where = array(model.joint)[v] + array(model.time)[s, 0]
            tokens.append(linear(model.embed, token) + where)
    return np.stack(tokens)


def test_the_transformer_equals_a_reference():
    D, H, segment = 6, 2, 3
    model = filled(Transformer(TransformerConfig(dim=D, depth=2, heads=H, segment=segment), V, T))
    x = random(2, 1, 3, T, V)
    bodies = [tokens_by_hand(model, body, segment) for body in array(x)[:, 0]]
    expected = np.stack([blocks_by_hand(model, tokens, H) for tokens in bodies])
    np.testing.assert_allclose(array(model.tokens(x[:, 0])), expected, atol=1e-9)
    np.testing.assert_allclose(array(model(x)), expected.mean(axis=1), atol=1e-9)
