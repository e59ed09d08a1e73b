"""Mutual distillation against numpy in double precision, spelt out."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_momentum import ENCODERS, PAIR, TRIPLE, views

from skelcon.contrast import ContrastConfig, MomentumContrast, ObjectiveConfig
from skelcon.contrast.cmd import MutualDistillation, neighbour_divergence
from skelcon.data import KINECT_V1
from skelcon.encoders import Encoder

K = 10
CONFIG = ContrastConfig(dim=6, head_hidden=16, temperature=0.1, queue=K, momentum=0.9)


def divergence(teacher: np.ndarray, student: np.ndarray, count: int, hot: float) -> float:
    """Of a row: sum p log(p / q) over the teacher's nearest, at temperatures 0.05 and ``hot``."""
    near = sorted(range(len(teacher)), key=lambda i: -teacher[i])[:count]
    p = [math.exp(teacher[i] / 0.05) for i in near]
    q = [math.exp(student[i] / hot) for i in near]
    return sum(
        a / sum(p) * math.log((a / sum(p)) / (b / sum(q))) for a, b in zip(p, q, strict=True)
    )


@settings(max_examples=15)
@given(st.integers(1, 4), st.integers(2, 9), st.integers(1, 9), st.integers(0, 99))
def test_the_divergence_is_over_the_nearest_of_the_teacher(
    batch: int, size: int, count: int, seed: int
) -> None:
    draws = torch.Generator().manual_seed(seed)
    teacher, student = torch.rand(2, batch, size, generator=draws, dtype=torch.float64) * 2 - 1
    count = min(count, size)
    rows = zip(teacher.numpy(), student.numpy(), strict=True)
    expected = np.mean([divergence(t, s, count, 0.1) for t, s in rows])
    found = neighbour_divergence(teacher, student, count, (0.05, 0.1))
    assert float(found) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_no_gradient_reaches_the_teacher() -> None:
    teacher, student = torch.rand(2, 3, 5).unbind()
    teacher, student = teacher.requires_grad_(), student.requires_grad_()
    neighbour_divergence(teacher, student, 4, (0.05, 0.1)).backward()
    assert teacher.grad is None
    assert student.grad is not None


def built(names: tuple[str, ...], **options: float) -> MutualDistillation:
    torch.manual_seed(0)
    encoders = {name: Encoder(name, ENCODERS, KINECT_V1, bodies=2) for name in names}
    config = ObjectiveConfig(name="cmd", options={"neighbours": 0.4, **options})
    made = config.build(CONFIG, encoders, torch.Generator().manual_seed(0))
    assert isinstance(made, MutualDistillation)
    return made.train()


def alone(distilled: MutualDistillation, name: str) -> MomentumContrast:
    """Momentum contrast of one of its representations, from the same weights and queue."""
    twin = copy.deepcopy(distilled)
    made = MomentumContrast({name: twin.encoder(name)}, CONFIG, torch.Generator())
    made.branches[name].load_state_dict(twin.branches[name].state_dict())
    made.pointer.copy_(twin.pointer)
    return made.train()


@pytest.mark.parametrize("names", [PAIR, TRIPLE], ids="+".join)
def test_the_loss_is_intra_contrast_and_all_divergences(names: tuple[str, ...]) -> None:
    """In three steps, so that the queues hold keys of the same clips."""
    objective = built(names, student_temperature=0.2, weight=0.5)
    assert objective.pairs == [(name, name) for name in names]
    optimiser = torch.optim.SGD(objective.query_parameters(), 0.1)
    for query_view, key_view in views(3):
        apart = {name: alone(objective, name) for name in names}
        queues = {name: objective.queue(name).double().numpy().copy() for name in names}
        found = {name: each(query_view, key_view) for name, each in apart.items()}
        queries = {name: each.queries[name].double().numpy() for name, each in found.items()}
        keys = {name: each.keys[name].double().numpy() for name, each in found.items()}
        expected = sum(float(each.loss.detach()) for each in found.values())
        for teacher in names:
            for student in names:
                if student == teacher:
                    continue
                near = keys[teacher] @ queues[teacher].T
                seen = queries[student] @ queues[student].T
                rows = [divergence(t, s, 4, 0.2) for t, s in zip(near, seen, strict=True)]
                expected += 0.5 * np.mean(rows)
        result = objective(query_view, key_view)
        assert float(result.loss.detach()) == pytest.approx(expected, rel=1e-4)
        assert float(result.top1) == pytest.approx(np.mean([float(r.top1) for r in found.values()]))
        assert result.chance == 1 / (1 + K)
        optimiser.zero_grad()
        result.loss.backward()
        objective.after_backward(result)
        optimiser.step()
    assert int(objective.pointer) == 3 * len(query_view) % K


def test_the_divergence_trains_the_student() -> None:
    gradients = []
    for weight in (0.0, 1.0):
        objective = built(PAIR, weight=weight)
        objective(*views(1)[0]).loss.backward()
        gradients.append([p.grad.clone() for p in objective.query_parameters()])
    assert not all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
