"""The optimisers do what torch's do, to the bit, and a training step imports no compiler."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skelcon import optimisers

KINDS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "weight_decay": 0.01, "fused": True},
    "Adam": {"weight_decay": 0.01, "foreach": True},
    "AdamW": {"weight_decay": 0.01, "foreach": True},
    "LBFGS": {"max_iter": 3, "line_search_fn": "strong_wolfe"},
}


def trained(home: Any, name: str, resume: bool = False) -> tuple[list[Tensor], dict[str, Any]]:
    """The parameters after five steps, and the state; ``resume``: from the state of the third."""
    torch.manual_seed(0)
    model, x = nn.Linear(5, 3), torch.randn(8, 5)
    optimiser = getattr(home, name)(model.parameters(), lr=0.1, **KINDS[name])

    def loss() -> Tensor:
        optimiser.zero_grad()
        total = model(x).square().mean()
        total.backward()
        return total

    for step in range(5):
        if resume and step == 3:
            state = optimiser.state_dict()
            optimiser = getattr(home, name)(model.parameters(), lr=1.0, **KINDS[name])
            optimiser.load_state_dict(state)
        if name == "LBFGS":
            optimiser.step(loss)
        else:
            loss()
            optimiser.step()
    return [each.detach() for each in model.parameters()], optimiser.state_dict()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("resume", [False, True])
def test_the_bits_are_those_of_torch(name: str, resume: bool) -> None:
    mine, state = trained(optimisers, name, resume)
    theirs, expected = trained(torch.optim, name)
    assert all(map(torch.equal, mine, theirs))
    assert state["param_groups"] == expected["param_groups"]
    assert state["state"].keys() == expected["state"].keys()


PROGRAM = """
import sys
import numpy as np
import torch
from skelcon.data import ClipBank, split
from skelcon.data.synthetic import open_embedded
from skelcon.downstream import Inputs, LinearConfig
from skelcon.downstream.tasks import completed, task
from skelcon.pretrain import PretrainConfig, Pretraining

dataset = open_embedded()
bank = ClipBank(dataset, "cpu")
small = {"channels": [4], "strides": [2]}
tree = {"representations": ["stg"], "encoders": {"stg": small, "frames": 16}, "epochs": 1,
        "contrast": {"queue": 16, "dim": 4, "head_hidden": 4}, "batch": 16}
config = PretrainConfig.model_validate(tree)
training = Pretraining(bank, np.arange(16), bank.layout, config, seed=0)
training.run_epoch()
train, test = (torch.from_numpy(split(dataset, "xsub", part)[:20]) for part in ("train", "test"))
evaluation = LinearConfig(epochs=1, weight_decay=0.0)
encoders, groups = [training.contrast.encoder("stg")], torch.zeros_like(train)
inputs = Inputs(encoders, bank, train, test, dataset.num_classes, 16, 0, groups)
completed(task("linear").start(inputs, evaluation))
print(*({"torch._dynamo", "torch._inductor", "sympy"} & {*sys.modules}))
"""


def test_a_step_of_each_kind_imports_no_compiler() -> None:
    """Importing it takes a process seconds before its first step."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
