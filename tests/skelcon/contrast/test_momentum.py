"""`MomentumContrast` against a simulation that spells out every step of sections 3.2 and 3.3."""

import copy
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skelcon.contrast import ContrastConfig, MomentumContrast
from skelcon.data import KINECT_V1
from skelcon.encoders import AGCNConfig, BiGRUConfig, Encoder, EncodersConfig, HCNConfig

ENCODERS = EncodersConfig(
    img=HCNConfig(channels=8, cooccurrence=16, dropout=0.0),
    stg=AGCNConfig(channels=(4,), strides=(2,), kernel=3),
    seq=BiGRUConfig(hidden=4, layers=1, input_norm=True),
    frames=16,
)
B, K, LR = 4, 10, 0.1
INTRA, PAIR, TRIPLE = ("stg",), ("img", "seq"), ("img", "stg", "seq")
MEETS = {
    INTRA: [("stg", "stg")],
    PAIR: [("img", "seq"), ("seq", "img")],
    TRIPLE: [
        ("img", "stg"),
        ("img", "seq"),
        ("stg", "img"),
        ("stg", "seq"),
        ("seq", "img"),
        ("seq", "stg"),
    ],
}


def built(names: tuple[str, ...], seed: int = 0, **options: float) -> MomentumContrast:
    torch.manual_seed(seed)
    encoders = {name: Encoder(name, ENCODERS, KINECT_V1, bodies=2) for name in names}
    config = ContrastConfig.model_validate(
        {"dim": 6, "head_hidden": 16, "temperature": 0.1, "queue": K, "momentum": 0.9, **options}
    )
    return MomentumContrast(encoders, config, torch.Generator().manual_seed(seed)).train()


def views(steps: int, batch: int = B) -> list[tuple[Tensor, Tensor]]:
    draws = torch.Generator().manual_seed(5)
    shape = (batch, 2, 16, KINECT_V1.num_joints, 3)
    return [
        (torch.randn(shape, generator=draws), torch.randn(shape, generator=draws))
        for _ in range(steps)
    ]


@dataclass
class Simulation:
    """Momentum contrast in the order of the paper; networks are only ever called."""

    query: dict[str, nn.Module]
    key: dict[str, nn.Module]
    queue: dict[str, np.ndarray]
    config: ContrastConfig
    meets: list[tuple[str, str]]
    oldest: int = 0
    losses: dict[tuple[str, str], float] = field(default_factory=dict)

    @staticmethod
    def of(contrast: MomentumContrast, names: tuple[str, ...]) -> "Simulation":
        return Simulation(
            query={name: copy.deepcopy(contrast.branches[name].query) for name in names},
            key={name: copy.deepcopy(contrast.branches[name].key) for name in names},
            queue={name: contrast.queue(name).double().numpy().copy() for name in names},
            config=contrast.config,
            meets=MEETS[names],
        )

    def step(self, query_view: Tensor, key_view: Tensor) -> tuple[float, float]:
        """Loss and top-1; trains the query networks by plain gradient descent."""
        z_q = {name: network(query_view) for name, network in self.query.items()}
        z_k = {}
        m = self.config.momentum
        for name, network in self.key.items():
            pairs = zip(network.parameters(), self.query[name].parameters(), strict=True)
            for old, new in pairs:
                old.data = (m * old.data.double() + (1 - m) * new.data.double()).float()
            with torch.no_grad():
                z_k[name] = network(key_view)
        total, hits = torch.zeros((), dtype=torch.float64), []
        for query, key in self.meets:
            negatives = torch.from_numpy(self.queue[key].copy())
            rows = []
            for q, k in zip(z_q[query].double(), z_k[key].double(), strict=True):
                positive = (q @ k) / self.config.temperature
                others = negatives @ q / self.config.temperature
                rows.append(-(positive - torch.log(positive.exp() + others.exp().sum())))
                hits.append(bool(positive > others.max()))
            self.losses[query, key] = float(torch.stack(rows).mean().detach())
            total = total + torch.stack(rows).mean()
        total.backward()
        with torch.no_grad():
            for network in self.query.values():
                for parameter in network.parameters():
                    parameter.sub_(LR * parameter.grad)
                    parameter.grad = None
        size = len(next(iter(self.queue.values())))
        for i in range(len(query_view)):
            for name, keys in z_k.items():
                self.queue[name][(self.oldest + i) % size] = keys[i].double().numpy()
        self.oldest = (self.oldest + len(query_view)) % size
        return float(total.detach()), float(np.mean(hits))


def close(mine: Tensor, reference: Tensor | np.ndarray) -> None:
    np.testing.assert_allclose(mine.detach(), reference, rtol=1e-4, atol=2e-5)


def train(contrast: MomentumContrast, query_view: Tensor, key_view: Tensor) -> tuple[float, float]:
    optimiser = torch.optim.SGD(contrast.query_parameters(), LR)
    result = contrast(query_view, key_view)
    optimiser.zero_grad()
    result.loss.backward()
    contrast.enqueue(result.keys)
    optimiser.step()
    return float(result.loss.detach()), float(result.top1)


@pytest.mark.parametrize("names", MEETS, ids="+".join)
def test_every_step_equals_the_simulation(names: tuple[str, ...]):
    """The batch does not divide the queue, which wraps around twice in six steps."""
    contrast = built(names)
    simulation = Simulation.of(contrast, names)
    seen = []
    for query_view, key_view in views(6):
        loss, top1 = train(contrast, query_view, key_view)
        expected = simulation.step(query_view, key_view)
        assert loss == pytest.approx(expected[0], rel=1e-4)
        assert top1 == pytest.approx(expected[1])
        seen.append(top1)
        assert int(contrast.pointer) == simulation.oldest
        for name in names:
            branch = contrast.branches[name]
            close(contrast.queue(name), simulation.queue[name])
            for mine, reference in (
                (branch.query, simulation.query[name]),
                (branch.key, simulation.key[name]),
            ):
                for tensor, other in zip(
                    mine.state_dict().values(), reference.state_dict().values(), strict=True
                ):
                    close(tensor, other.detach())
    assert len(set(seen)) > 1
    assert simulation.oldest == 6 * B % K != 0


def test_the_triple_is_the_sum_of_its_six_pairs():
    contrast = built(TRIPLE)
    simulation = Simulation.of(contrast, TRIPLE)
    query_view, key_view = views(1)[0]
    simulation.step(query_view, key_view)
    assert len(simulation.losses) == 6
    loss = float(contrast(query_view, key_view).loss.detach())
    assert loss == pytest.approx(sum(simulation.losses.values()), rel=1e-5)


@pytest.mark.parametrize(("name", "other"), [("img", "seq"), ("seq", "img")])
def test_a_query_meets_the_queue_of_the_other_and_not_its_own(name: str, other: str):
    """The query's gradient changes with the other queue, and not with its own."""
    gradients = []
    for changed in (None, name, other):
        contrast = built(PAIR)
        if changed is not None:
            contrast.queue(changed).neg_()
        contrast(*views(1)[0]).loss.backward()
        found = [p.grad.flatten() for p in contrast.branches[name].query.parameters()]
        gradients.append(torch.cat(found))
    assert torch.equal(gradients[0], gradients[1])
    assert not torch.allclose(gradients[0], gradients[2])


def test_the_keys_buffers_are_neither_copied_nor_averaged():
    """With momentum 0 the key's parameters are the query's; its statistics are of its own views."""
    contrast = built(("seq",), momentum=0.0)
    branch = contrast.branches["seq"]
    own = copy.deepcopy(branch.key)
    for query_view, key_view in views(3):
        own.load_state_dict({**own.state_dict(), **dict(branch.query.named_parameters())})
        train(contrast, query_view, key_view)
        own(key_view)
    mine, alone, query = (dict(n.named_buffers()) for n in (branch.key, own, branch.query))
    running = [name for name in mine if "running" in name]
    assert running
    for name in running:
        close(mine[name], alone[name])
        assert not torch.allclose(mine[name], query[name])


@pytest.mark.parametrize("momentum", [0.0, 0.75, 0.999, 1.0])
def test_the_keys_parameters_are_a_moving_average(momentum: float):
    contrast = built(("seq",), momentum=momentum)
    branch = contrast.branches["seq"]
    with torch.no_grad():
        for parameter in branch.query.parameters():
            parameter.normal_()
    before = [p.double().numpy().copy() for p in branch.key.parameters()]
    query = [p.detach().double().numpy() for p in branch.query.parameters()]
    contrast(*views(1)[0])
    for old, new, got in zip(before, query, branch.key.parameters(), strict=True):
        expected = momentum * old + (1 - momentum) * new
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)


def test_the_key_starts_as_a_copy_and_never_has_a_gradient():
    contrast = built(PAIR)
    keys = [p for name in PAIR for p in contrast.branches[name].key.parameters()]
    queries = contrast.query_parameters()
    assert len(keys) == len(queries)
    assert all(torch.equal(k, q) and k is not q for k, q in zip(keys, queries, strict=True))
    contrast(*views(1)[0]).loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in keys)
    assert all(p.grad is not None for p in queries)


def test_queues_hold_unit_vectors_from_the_generator():
    contrast, again, other = built(PAIR), built(PAIR), built(PAIR, seed=1)
    assert not torch.equal(contrast.queue("img"), contrast.queue("seq"))
    for name in PAIR:
        assert torch.equal(contrast.queue(name), again.queue(name))
        assert not torch.equal(contrast.queue(name), other.queue(name))
    for pair in [None, *views(4)]:
        if pair:
            train(contrast, *pair)
        for name in PAIR:
            close(contrast.queue(name).norm(dim=1), np.ones(K))


@pytest.mark.parametrize("queue", [1, 3, 4])
def test_a_batch_as_large_as_the_queue_or_larger(queue: int):
    contrast = built(INTRA, queue=queue)
    simulation = Simulation.of(contrast, INTRA)
    for query_view, key_view in views(3):
        loss, _ = train(contrast, query_view, key_view)
        assert loss == pytest.approx(simulation.step(query_view, key_view)[0], rel=1e-4)
        close(contrast.queue("stg"), simulation.queue["stg"])


def test_a_tie_is_not_a_hit():
    """An encoder that has collapsed to one point ranks no positive first."""
    contrast = built(("seq",), momentum=0.0, dim=4)
    head = contrast.branches["seq"].query[1]
    with torch.no_grad():
        head.out.weight.zero_()
        head.out.bias.fill_(1.0)
        for pair in views(4):
            result = contrast(*pair)
            contrast.enqueue(result.keys)
    assert float(result.loss) == pytest.approx(np.log(1 + K))
    assert float(result.top1) == 0


def test_queue_and_pointer_are_part_of_the_state():
    contrast, fresh = built(PAIR), built(PAIR, seed=3)
    for pair in views(3):
        train(contrast, *pair)
    fresh.load_state_dict(contrast.state_dict())
    pair = views(4)[3]
    assert train(fresh, *pair) == train(contrast, *pair)
    assert torch.equal(fresh.queue("img"), contrast.queue("img"))
