"""Pre-trainings with each objective: settings, keys, learning, resuming, and one from a plugin."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import skelcon
from skelcon import register_objective
from skelcon.contrast import MOCO, OBJECTIVES, byol, objectives, vicreg
from skelcon.data import ClipBank
from skelcon.data.synthetic import synthesize
from skelcon.encoders import Encoder
from skelcon.errors import UserError
from skelcon.plugins import load_plugins
from skelcon.pretrain import PretrainConfig, Pretraining
from skelcon.settings import resolve

TREE: dict[str, Any] = {
    "augment": {"crop": {"l_min": 0.5}, "pose": {"amplitude": 0.3}, "jitter": {"joints": 5}},
    "encoders": {
        "seq": {"hidden": 16, "layers": 1, "input_norm": True},
        "stg": {"channels": (8,), "strides": (2,)},
        "frames": 16,
    },
    "contrast": {"dim": 16, "head_hidden": 16, "queue": 64, "momentum": 0.9},
    "optimiser": {"name": "adamw", "lr": 0.005},
    "epochs": 12,
    "batch": 24,
}
SMALL: dict[str, dict[str, float]] = {
    "simclr": {"dim": 16, "hidden": 16},
    "byol": {"dim": 16, "hidden": 32, "momentum": 0.9},
    "simsiam": {"dim": 16, "hidden": 32, "bottleneck": 8},
    "barlow": {"dim": 16, "hidden": 32},
    "vicreg": {"dim": 16, "hidden": 32},
    "masked": {"ratio": 0.5, "dim": 32},
    "cmd": {"neighbours": 0.25},
}


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> ClipBank:
    place = tmp_path_factory.mktemp("data") / "embedded"
    return ClipBank(synthesize(place, subjects=2, repetitions=2, cameras=1))


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OBJECTIVES, "_registered", {})


def configured(name: str, **changes: object) -> PretrainConfig:
    chosen: dict[str, object] = {"objective": {"name": name, "options": SMALL[name]}}
    if name == "cmd":
        chosen["representations"] = ("stg", "seq")
    return PretrainConfig.model_validate({**TREE, **chosen, **changes})


def started(bank: ClipBank, config: PretrainConfig) -> Pretraining:
    return Pretraining(bank, np.arange(48), bank.layout, config, 0)


# -- settings and keys -------------------------------------------------------------------------


def test_the_default_is_in_no_key() -> None:
    plain = PretrainConfig().resolved()
    assert "objective" not in plain
    named = PretrainConfig.model_validate({"objective": {"name": MOCO}})
    assert named.resolved() == plain


@pytest.mark.parametrize("name", objectives.BUILTIN)
def test_all_options_are_in_the_key_and_those_of_the_default_are_not(name: str) -> None:
    together = ("img", "seq") if name == "cmd" else ("seq",)
    tree = {"objective": {"name": name}, "contrast": {"queue": 7}, "representations": together}
    config = PretrainConfig.model_validate(tree)
    resolved = config.resolved()
    assert ("contrast" in resolved) == (name == "cmd")
    assert resolved["objective"]["name"] == name
    assert set(SMALL[name]) <= set(resolved["objective"]["options"])
    assert PretrainConfig.model_validate(resolved).resolved() == resolved


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "simcrl"}, "unknown objective 'simcrl': did you mean 'simclr'"),
        ({"name": "byol", "options": {"momentun": 0.9}}, "'momentun': did you mean 'momentum'"),
        ({"name": "byol", "options": {"momentum": 1.5}}, "momentum.*less than or equal to 1"),
        ({"name": "vicreg", "options": {"dim": "wide"}}, "option 'dim'.*valid integer"),
        ({"options": {"queue": 9}}, "options of moco are set in pretrain.contrast"),
        ({"name": "byol", "version": "1"}, "version 1 of the objective 'byol'.*built in"),
        (
            {"name": "cmd"},
            r"pretrain.representations: objective 'cmd' takes at least 2, not 1 \(seq\)",
        ),
        ({"name": "masked", "options": {"choice": "motin"}}, "option 'choice'.*'motion' or"),
        ({"name": "masked", "options": {"ratio": 1}}, "option 'ratio'.*less than 1"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        resolve([{"pretrain": {"objective": wrong}}], "mine.yaml")
    assert "\n" not in str(caught.value)
    assert "mine.yaml" in str(caught.value)


# -- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", objectives.BUILTIN)
def test_it_learns_and_does_not_collapse(bank: ClipBank, name: str) -> None:
    metrics = started(bank, configured(name)).run()
    losses = [each.loss for each in metrics]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.02 * abs(np.mean(losses[:3]))
    last = metrics[-1]
    assert last.effective_rank is not None
    assert last.effective_rank > 3
    if name in ("simclr", "cmd"):
        assert last.chance == (1 / 47 if name == "simclr" else 1 / 65)
        assert last.top1 is not None
        assert last.top1 > 2 * last.chance
    else:
        assert last.top1 is last.chance is None


@pytest.mark.parametrize("name", ["simclr", "byol", "cmd"])
def test_two_representations_resume_with_the_same_bits(bank: ClipBank, name: str) -> None:
    config = configured(name, representations=("stg", "seq"), epochs=3)
    whole, first, second = (started(bank, config) for _ in range(3))
    expected = [each.loss for each in whole.run()]
    assert first.run_epoch().loss == expected[0]
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert [each.loss for each in second.run()] == expected[1:]
    state = second.contrast.state_dict()
    assert all(torch.equal(v, state[n]) for n, v in whole.contrast.state_dict().items())


def test_masked_motion_of_tokens_learns_and_resumes_with_the_same_bits(bank: ClipBank) -> None:
    options = {"dim": 16, "depth": 2, "heads": 4}
    custom = {"stg": {"encoder": "transformer", "options": options}}
    tree = {"encoders": {"custom": custom, "frames": 16}, "representations": ("stg",)}
    tree["objective"] = {"name": "masked", "options": {"depth": 1}}
    config = PretrainConfig.model_validate({**TREE, **tree, "epochs": 4})
    whole, first, second = (started(bank, config) for _ in range(3))
    losses = [each.loss for each in whole.run()]
    assert losses[-1] < 0.95 * losses[0]
    assert first.run_epoch().loss == losses[0]
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert [each.loss for each in second.run()] == losses[1:]
    with pytest.raises(UserError, match=r"'masked' takes at most 1, not 2 \(stg\+seq\)"):
        resolve([{"pretrain": {**tree, "representations": ("stg", "seq")}}], "mine.yaml")
    encoders = {**tree["encoders"], "stream": "bone"}
    with pytest.raises(UserError, match="hides joints, which stream 'bone' would show"):
        resolve([{"pretrain": {**tree, "encoders": encoders}}], "mine.yaml")
    recurrent = {"representations": ("seq",), "objective": {"name": "masked"}}
    with pytest.raises(UserError, match="frames 30 is not a multiple of the 4 frames of a token"):
        resolve([{"pretrain": {**recurrent, "encoders": {"frames": 30}}}], "mine.yaml")


# -- one of a plugin ---------------------------------------------------------------------------


def test_a_file_with_a_line_of_registration_is_an_objective(bank: ClipBank, tmp_path: Path) -> None:
    """BYOL's own file, as a user's."""
    source = Path(byol.__file__).read_text()
    assert len(source.splitlines()) <= 80
    registered = '@register_objective("mine", version="4")\nclass BYOL'
    source = source.replace("class BYOL", registered)
    source = source.replace(
        "import torch\n", "import torch\nfrom skelcon import register_objective\n"
    )
    (tmp_path / "my_objective.py").write_text(source)
    load_plugins([str(tmp_path / "my_objective.py")])
    tree = {**TREE, "epochs": 2, "objective": {"name": "mine", "options": SMALL["byol"]}}
    config = PretrainConfig.model_validate(tree)
    assert config.resolved()["objective"] == {
        "name": "mine",
        "options": SMALL["byol"],
        "version": "4",
    }
    assert [each.loss for each in started(bank, config).run()] == [
        each.loss for each in started(bank, configured("byol", epochs=2)).run()
    ]
    with pytest.raises(UserError, match="version 3 of the objective 'mine' is required"):
        resolve([{"pretrain.objective": {"name": "mine", "version": "3"}}], "mine.yaml")


def test_the_objective_of_the_manual(bank: ClipBank, tmp_path: Path) -> None:
    text = (Path(skelcon.__file__).parent / "README.md").read_text()
    (code,) = re.findall(r"<!-- objective -->\n```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "of_the_manual.py").write_text(code)
    load_plugins([str(tmp_path / "of_the_manual.py")])
    objective = {"name": "uniform", "options": {"dim": 16, "weight": 0.5}}
    tree = {**TREE, "epochs": 4, "representations": ("stg", "seq"), "objective": objective}
    metrics = started(bank, PretrainConfig.model_validate(tree)).run()
    assert metrics[-1].loss < metrics[0].loss


class Loose(vicreg.VICReg):
    """An objective with a parameter that belongs to no representation."""

    def __init__(self, encoders: dict[str, Encoder], generator: torch.Generator) -> None:
        super().__init__(encoders, generator, dim=8)
        self.scale = torch.nn.Parameter(torch.ones(()))


def test_what_is_no_objective_is_said_when_it_is_built(bank: ClipBank) -> None:
    register_objective("odd", version=1)(lambda encoders, generator: torch.nn.Identity())
    config = PretrainConfig.model_validate({**TREE, "objective": {"name": "odd"}})
    with pytest.raises(UserError, match=re.escape("objective 'odd' is not a skelcon.contrast.")):
        started(bank, config)
    register_objective("loose", version=1)(Loose)
    config = PretrainConfig.model_validate({**TREE, "objective": {"name": "loose"}})
    with pytest.raises(UserError, match=r"'loose': nothing would train its parameter 'scale'"):
        started(bank, config)
    with pytest.raises(UserError, match="skelcon uses this name"):
        register_objective("vicreg", version=1)(byol.BYOL)
    with pytest.raises(UserError, match="it must accept"):
        register_objective("short", version=1)(lambda encoders: None)
