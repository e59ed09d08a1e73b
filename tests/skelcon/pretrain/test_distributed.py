"""One pre-training in several processes is the pre-training of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import train_shard
from torch import Tensor, nn

from skelcon.data import ClipBank
from skelcon.data.synthetic import synthesize
from skelcon.errors import UserError
from skelcon.pretrain.distributed import SINGLE, ProcessGroup, check_world_size, synchronised

Found = dict[str, Any]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> ClipBank:
    """Clips of one body and of two."""
    place = tmp_path_factory.mktemp("data") / "two"
    found = ClipBank(synthesize(place, subjects=2, repetitions=1, cameras=1))
    second = found.frames(torch.arange(24), torch.zeros(24, 1).long())[:, 1].flatten(1).any(dim=1)
    assert second.any()
    assert not second.all()
    return found


@pytest.fixture(scope="module")
def out(bank: ClipBank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs leave what they found; ``single.pt`` is of one process."""
    place = tmp_path_factory.mktemp("out")
    torch.save(train_shard.train(bank, SINGLE, None), place / "single.pt")
    return place


@pytest.fixture(scope="module")
def single(out: Path) -> Found:
    return torch.load(out / "single.pt", weights_only=True)


@pytest.fixture(scope="module")
def exact(bank: ClipBank) -> Found:
    return train_shard.exact(bank, SINGLE)


@pytest.fixture(scope="module", params=[3])
def ranks(request: pytest.FixtureRequest, out: Path, bank: ClipBank) -> list[tuple[Found, ...]]:
    """Of each rank what it found, from the start and from the state of one process."""
    size = request.param
    data = out.parent / "data0" / "two"
    words = [str(size), str(out / f"rendezvous-{size}"), str(data), str(out)]
    program = [sys.executable, "-W", "error", train_shard.__file__, *words]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return [
        tuple(
            torch.load(out / f"{size}-{rank}{end}.pt", weights_only=True)
            for end in ("", "-resumed", "-exact")
        )
        for rank in range(size)
    ]


def tensors(state: Any, name: str = "") -> dict[str, Tensor]:
    if isinstance(state, Tensor):
        return {name: state}
    pairs = state.items() if isinstance(state, dict) else enumerate(state)
    return {
        key: value
        for at, each in pairs
        if isinstance(each, Tensor | dict | list)
        for key, value in tensors(each, f"{name}.{at}").items()
    }


def assert_close(one: Found, other: Found) -> None:
    losses = [torch.tensor(each["losses"]) for each in (one, other)]
    torch.testing.assert_close(*losses, atol=1e-4, rtol=0)
    assert tensors(one["end"]).keys() == tensors(other["end"]).keys()
    mine, theirs = (tensors(each["end"]["contrast"]) for each in (one, other))
    for name, value in mine.items():
        torch.testing.assert_close(
            value, theirs[name], atol=1e-4, rtol=1e-4, msg=lambda text, at=name: f"{at}: {text}"
        )


@pytest.mark.parametrize("case", train_shard.CASES)
def test_equals_the_training_in_one_process(
    ranks: list[tuple[Found, ...]], single: Found, case: str
) -> None:
    """Losses, weights, statistics, queues; from the start, and resumed."""
    start, end = (tensors(single[case][at]["contrast"]) for at in ("half", "end"))
    assert (
        max(
            (start[name] - value).abs().max()
            for name, value in end.items()
            if "queue" not in name and "pointer" not in name
        )
        > 1e-3
    )  # ten times what is allowed: else to be close would say nothing
    for whole, resumed, _ in ranks:
        assert_close(whole[case], single[case])
        assert_close(resumed[case], {**single[case], "losses": single[case]["losses"][1:]})


@pytest.mark.parametrize("case", train_shard.CASES)
def test_the_diagnosis_is_that_of_the_whole_batch(
    ranks: list[tuple[Found, ...]], single: Found, case: str
) -> None:
    """Alignment, effective rank, and the monitored accuracy: for that every rank sees all clips."""
    expected = torch.tensor(single[case]["diagnosis"])
    for whole, *_ in ranks:
        found = torch.tensor(whole[case]["diagnosis"])
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("case", train_shard.CASES)
def test_only_rounding_differs(ranks: list[tuple[Found, ...]], exact: Found, case: str) -> None:
    """In double precision: features, gradients, running statistics, with dropout and without."""
    expected = tensors(exact[case])
    for *_, found in ranks:
        mine = tensors(found[case])
        assert mine.keys() == expected.keys()
        for name, value in mine.items():
            torch.testing.assert_close(value, expected[name], atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("case", train_shard.CASES)
def test_all_ranks_hold_the_same_bits(ranks: list[tuple[Found, ...]], case: str) -> None:
    first, *others = (tensors(whole[case]["end"]) for whole, *_ in ranks)
    for other in others:
        assert first.keys() == other.keys()
        assert all(torch.equal(value, other[name]) for name, value in first.items())


def test_one_process_resumes_what_several_trained(
    ranks: list[tuple[Found, ...]], single: Found, bank: ClipBank
) -> None:
    resumed = train_shard.train(bank, SINGLE, ranks[0][0])
    for case, found in resumed.items():
        assert_close(found, {**single[case], "losses": single[case]["losses"][1:]})


def test_a_batch_that_cannot_be_divided_is_the_users_mistake(bank: ClipBank) -> None:
    check_world_size(6, 3)
    with pytest.raises(UserError, match="batch 6 cannot be divided among 4 devices"):
        train_shard.started(bank, "seq", ProcessGroup(0, 4))


def test_synchronising_keeps_names_and_values(bank: ClipBank) -> None:
    for case in train_shard.CASES:
        one = train_shard.started(bank, case, SINGLE).contrast
        many = train_shard.started(bank, case, ProcessGroup(0, 2)).contrast
        assert not any(isinstance(m, nn.Dropout2d | nn.BatchNorm2d) for m in many.modules())
        mine, theirs = one.state_dict(), many.state_dict()
        assert list(mine) == list(theirs)
        assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


@pytest.mark.parametrize("kind", [nn.Dropout(0.3), nn.Dropout1d(0.3), nn.Dropout2d(0.3)], ids=str)
def test_a_rank_has_its_rows_of_the_mask_that_torch_draws(kind: nn.Module) -> None:
    x = torch.rand(6, 5, *[4] * (kind.__class__.__name__.count("2") + 1)) + 1
    torch.manual_seed(0)
    expected = kind(x)[3:]
    mine = synchronised(nn.Sequential(kind), ProcessGroup(1, 2))
    torch.manual_seed(0)
    assert torch.equal(mine(x[3:]), expected)
    assert torch.equal(mine.eval()(x[3:]), x[3:])
