"""Policies of single views: settings, keys, what each view becomes, training and resuming."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from test_objective_training import TREE
from torch import Tensor

from skelcon.augment import AugmentConfig, augmented_view
from skelcon.contrast import OBJECTIVES, ContrastResult
from skelcon.contrast.simsiam import SimSiam
from skelcon.data import ClipBank
from skelcon.errors import UserError
from skelcon.plugins import register_objective
from skelcon.pretrain import PretrainConfig, Pretraining
from skelcon.settings import parse_assignment, put, resolve

WEAK: dict[str, Any] = {"use": ["crop"]}
STRONG: dict[str, Any] = {"use": ["crop", "flip"], "flip": {"p": 1.0}}


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OBJECTIVES, "_registered", {})


def configured(**changes: Any) -> PretrainConfig:
    return PretrainConfig.model_validate(changes)


# -- settings and keys -------------------------------------------------------------------------


def test_an_entry_changes_what_all_views_have() -> None:
    augment = {"use": ["crop", "jitter"], "crop": {"l_min": 0.4, "min_frames": 3}}
    config = configured(
        augment=augment,
        views={"key": {"crop": {"l_min": 0.7}}, "extra": [{"use": ["crop", "flip"]}, {}]},
    )
    query, key, strong, plain = config.policies
    assert query == plain == config.augment
    assert key.resolved() == {**query.resolved(), "crop": {"l_min": 0.7, "min_frames": 3}}
    assert strong.resolved() == {
        "use": ["crop", "flip"],
        "crop": {"l_min": 0.4, "min_frames": 3},
        "flip": {"p": 0.5},
    }


def test_what_is_set_by_key_paths_and_over_presets_adds_up() -> None:
    set_by_user: dict[str, Any] = {}
    for text in (
        "pretrain.views.query.use=[crop, rotation]",
        "pretrain.views.query.rotation.main=45",
        "pretrain.views.extra=[{use: [crop], crop.l_min: 0.2}]",
    ):
        put(set_by_user, *parse_assignment(text))
    preset = {"pretrain": {"augment": {"crop": {"l_min": 0.5}}, "views": {"query": {"use": []}}}}
    query, key, extra = resolve([preset, set_by_user], "--set").pretrain.policies
    assert query.use == ("crop", "rotation")
    assert (query.crop.l_min, query.rotation.main) == (0.5, 45)
    assert (key.use, key.crop.l_min) == (("crop", "pose", "jitter"), 0.5)
    assert (extra.use, extra.crop.l_min) == (("crop",), 0.2)


def test_the_key_is_of_the_policies_and_not_of_how_they_are_written() -> None:
    plain = configured(augment=STRONG).resolved()
    assert "views" not in plain
    for same in (
        {"augment": STRONG, "views": {}},
        {"augment": STRONG, "views": {"query": {}, "key": {}}},
        {"augment": WEAK, "views": {"query": STRONG, "key": STRONG}},
    ):
        assert configured(**same).resolved() == plain
    different = configured(augment=WEAK, views={"query": STRONG})
    resolved = different.resolved()
    assert "augment" not in resolved
    assert configured(augment=STRONG, views={"key": WEAK}).resolved() == resolved
    assert configured(augment=WEAK, views={"key": STRONG}).resolved() != resolved
    assert "extra" not in resolved["contrast"]


@pytest.mark.parametrize(
    "views",
    [
        {"query": STRONG},
        {"key": {"crop": {"p": 1.0}}},
        {"extra": [{}]},
        {"query": STRONG, "extra": [WEAK, {"crop": {"p": 1.0}}]},
    ],
    ids=str,
)
def test_resolved_views_make_the_same_configuration_again(views: dict[str, Any]) -> None:
    config = configured(augment={"crop": {"p": 0.5}}, views=views)
    again = configured(**config.resolved())
    assert again.resolved() == config.resolved()
    assert [p.resolved() for p in again.policies] == [p.resolved() for p in config.policies]
    assert ("extra" in config.resolved()["contrast"]) == ("extra" in views)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("query.crop.lmin=1", "'pretrain.views.query.crop.lmin': did you mean 'pretrain.views.q"),
        ("qery.use=[]", "'pretrain.views.qery': did you mean 'pretrain.views.query'"),
        ("key.use=[flipp]", "views.key.use.0: unknown augmentation 'flipp': did you mean 'flip'"),
        ("extra=[{usee: []}]", "'pretrain.views.extra.0.usee': did you mean 'pretrain.views.ext"),
        ("extra=[{flip.p: 2}]", "views.extra.0.flip.p: .*less than or equal to 1"),
        ("extra=3", "views.extra: .*given: 3"),
        ("query=[crop]", "views.query: .*given: .'crop'"),
    ],
)
def test_a_mistake_names_its_key(setting: str, message: str) -> None:
    tree: dict[str, Any] = {}
    put(tree, *parse_assignment(f"pretrain.views.{setting}"))
    with pytest.raises(UserError, match=message) as caught:
        resolve([tree], "--set")
    assert "\n" not in str(caught.value)


def test_a_mistake_in_what_all_views_have_is_not_said_of_one() -> None:
    tree = {"pretrain": {"augment": {"crop": {"lmin": 1}}, "views": {"query": {"use": []}}}}
    with pytest.raises(UserError, match=r"unknown key 'pretrain\.augment\.crop\.lmin'"):
        resolve([tree], "--set")


# -- training ----------------------------------------------------------------------------------


class Watching(SimSiam):
    """Keeps the views that it has seen."""

    seen: tuple[Tensor, ...] = ()

    def forward(self, *views: Tensor) -> ContrastResult:
        type(self).seen = views
        return super().forward(*views)


class OfTwo(SimSiam):
    """Takes a query and a key view alone."""

    takes_extra = False


def started(bank: ClipBank, **changes: Any) -> Pretraining:
    config = configured(**{**TREE, "batch": 8, "epochs": 3, **changes})
    return Pretraining(bank, np.arange(16) % len(bank.lengths), bank.layout, config, 0)


def test_each_view_has_its_policy(small_bank: ClipBank) -> None:
    register_objective("watching", version=1)(Watching)
    mirror, turn = ({"use": [name], name: {"p": 1}} for name in ("flip", "reverse"))
    started(
        small_bank,
        augment={"use": []},
        views={"key": mirror, "extra": [turn, {}]},
        objective={"name": "watching", "options": {"dim": 8, "hidden": 8, "bottleneck": 4}},
        epochs=1,
    ).run()
    query, key, turned, plain = Watching.seen
    sides = list(small_bank.layout.mirrored)
    assert torch.equal(key, query[:, :, :, sides] * torch.tensor([-1.0, 1, 1]))
    assert torch.equal(turned, query.flip(2))
    assert torch.equal(plain, query)


def test_views_that_are_alike_are_those_of_today(small_bank: ClipBank) -> None:
    """Query, then key, from one generator: the bits of two equal policies."""
    two = started(small_bank, augment=WEAK).run()
    named = started(small_bank, views={"query": WEAK, "key": WEAK}, augment={}).run()
    assert [each.loss for each in two] == [each.loss for each in named]
    draws = torch.Generator().manual_seed(1)
    views = [
        augmented_view(small_bank, torch.arange(4), AugmentConfig(use=("crop",)), 8, draws)
        for _ in range(2)
    ]
    assert not torch.equal(*views)


@pytest.mark.parametrize("kind", ["infonce", "distribution"])
def test_with_a_further_view_it_resumes_with_the_same_bits(small_bank: ClipBank, kind: str) -> None:
    changes = {
        "representations": ("stg", "seq"),
        "augment": WEAK,
        "views": {"query": {"use": ["crop", "jitter"]}, "extra": [STRONG]},
        "contrast": {**TREE["contrast"], "extra": kind},
    }
    whole, first, second = (started(small_bank, **changes) for _ in range(3))
    expected = [each.loss for each in whole.run()]
    assert first.run_epoch().loss == expected[0]
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert [each.loss for each in second.run()] == expected[1:]


class AsBefore(SimSiam):
    """One that was written when there were two views, and says nothing of more."""

    def forward(self, query_view: Tensor, key_view: Tensor) -> ContrastResult:  # type: ignore[override]
        return super().forward(query_view, key_view)


@pytest.mark.parametrize("kind", [OfTwo, AsBefore])
def test_an_objective_that_takes_two_views_says_so(kind: type[SimSiam]) -> None:
    register_objective("of-two", version=1)(kind)
    objective = {"name": "of-two", "options": {"dim": 8, "hidden": 8}}
    two = {"pretrain": {"objective": objective, "views": {"query": STRONG}}}
    assert len(resolve([two], "mine.yaml").pretrain.policies) == 2
    three = {"pretrain": {"objective": objective, "views": {"extra": [STRONG]}}}
    with pytest.raises(UserError, match=r"views\.extra: objective 'of-two' takes only a query and"):
        resolve([three], "mine.yaml")
