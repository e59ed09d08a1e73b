"""Settings and keys of components from outside the package."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from plugin_helpers import SMALL, pretrain
from torch import Tensor

import skelcon
from skelcon.augment import NAMES, AugmentConfig
from skelcon.encoders import REPRESENTATIONS
from skelcon.errors import UserError
from skelcon.pretrain import PretrainConfig
from skelcon.settings import Settings, resolve


def mistake(tree: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        resolve([tree], "study.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_custom_components_nothing_of_them_shows():
    """The keys of units without them do not change."""
    for count in (1, 2, 3):
        for used in itertools.combinations(REPRESENTATIONS, count):
            resolved = pretrain(representations=used).resolved()
            assert set(resolved["encoders"]) == {*used, "frames", "orientation"}
            assert set(resolved["augment"]) == {"use", *NAMES}
            text = json.dumps(resolved)
            assert "custom" not in text
            assert "version" not in text


def test_settings_name_custom_components_and_the_key_holds_version_and_all_options(loaded: Path):
    settings = resolve(
        [
            {"pretrain": SMALL},
            {
                "pretrain.augment.use": ["noise", "mirror", "crop"],
                "pretrain.augment.custom.mirror.p": 1,
                "pretrain.representations": ["motion", "seq", "bone"],
                "pretrain.encoders.custom.bone": {"encoder": "bigru", "options": {"hidden": 6}},
            },
        ],
        "test",
    )
    config = settings.pretrain
    assert config.augment.use == ("crop", "noise", "mirror")
    assert config.representations == ("seq", "bone", "motion")
    resolved = config.resolved()
    assert resolved["augment"] == {
        "use": ["crop", "noise", "mirror"],
        "crop": {"l_min": 0.1, "min_frames": 1},
        "custom": {"noise": {"std": 0.01, "joints": None}, "mirror": {"p": 1.0}},
        "versions": {"noise": "1", "mirror": "3"},
    }
    assert type(resolved["augment"]["custom"]["mirror"]["p"]) is float
    assert set(resolved["encoders"]) == {"seq", "frames", "orientation", "custom"}
    assert resolved["encoders"]["custom"] == {
        "bone": {
            "encoder": "bigru",
            # layers: what encoders.seq has
            "options": {"hidden": 6, "layers": 1, "stepwise": False, "input_norm": False},
            "representation_version": "1",
        },
        "motion": {
            "encoder": "mean-net",
            "version": "2",
            "options": {"width": 4},
            "representation_version": "1",
        },
    }


def test_what_is_resolved_resolves_to_itself(loaded: Path):
    """A unit's configuration is what a worker builds it from."""
    config = pretrain(
        augment={"use": ["mirror"], "custom": {"mirror": {"p": 0.25}, "noise": {"std": 1}}},
        representations=["img", "motion"],
        encoders={
            **SMALL["encoders"],
            "custom": {"img": {"encoder": "agcn"}, "seq": {"encoder": "mean-net"}},
        },
    )
    resolved = json.loads(json.dumps(config.resolved()))
    assert PretrainConfig.model_validate(resolved).resolved() == resolved
    assert set(resolved["augment"]["custom"]) == {"mirror"}  # noise is not in use
    assert set(resolved["encoders"]["custom"]) == {"img", "motion"}  # nor is seq
    assert "img" not in resolved["encoders"]


def test_the_encoder_that_a_representation_has_anyway_gives_the_same_key():
    plain = pretrain(encoders={"seq": {"hidden": 6}})
    custom = {"seq": {"encoder": "bigru", "options": {"hidden": 6}}}
    assert pretrain(encoders={"custom": custom}).resolved() == plain.resolved()


def test_a_version_that_is_not_the_loaded_one_is_an_error(loaded: Path):
    resolved = pretrain(augment={"use": ["mirror"]}, representations=["motion"]).resolved()
    for path in (
        ("augment", "versions", "mirror"),
        ("encoders", "custom", "motion", "version"),
        ("encoders", "custom", "motion", "representation_version"),
    ):
        changed = json.loads(json.dumps(resolved))
        at = changed
        for part in path[:-1]:
            at = at[part]
        at[path[-1]] = "7"
        assert "version 7 of the" in mistake({"pretrain": changed})


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (
            {"augment.use": ["crop", "miror"]},
            "augment.use.1: unknown augmentation 'miror': did you mean 'mirror'?",
        ),
        ({"augment.custom.miror.p": 1}, "unknown augmentation 'miror': did you mean 'mirror'?"),
        ({"augment.custom.crop.l_min": 1}, "'crop' is built in"),
        ({"augment.custom.mirror.q": 1}, "augmentation 'mirror': unknown option 'q': valid: p"),
        ({"augment.custom.mirror.p": "often"}, "augmentation 'mirror': option 'p': .*'often'"),
        ({"augment.custom.mirror.p": [0.5]}, "augmentation 'mirror': option 'p': "),
        ({"augment.custom.noise.std": ".nan"}, "option 'std': "),
        ({"augment.custom.noise.std": float("nan")}, "option 'std' is not a plain value"),
        ({"augment.custom.noise.joints": [1.5]}, "option .joints.: .*given: \\[1.5\\]"),
        ({"augment.custom.mirror": 0.5}, "augment.custom.mirror: .*given: 0.5"),
        (
            {"representations": ["moton"]},
            "representations.0: unknown representation 'moton': did you mean 'motion'?",
        ),
        ({"representations": ["bone"]}, "'bone' has no encoder: set encoders.custom.bone.encoder"),
        ({"encoders.custom.moton.encoder": "hcn"}, "'moton': did you mean 'motion'?"),
        (
            {"encoders.custom.seq.encoder": "men-net"},
            "unknown encoder 'men-net': did you mean 'mean-net'?",
        ),
        ({"encoders.custom.seq.options.width": 3}, "custom.seq has no encoder"),
        (
            {"encoders.custom.seq.encodr": "hcn"},
            r"unknown key .*did you mean '.*\.custom\.seq\.encoder'",
        ),
        ({"encoders.custom.motion.options.width": 0}, "encoder 'mean-net': option 'width': .*: 0"),
        ({"encoders.custom.motion.options.wide": 1}, "unknown option 'wide': did you mean 'width'"),
        (
            {"encoders.custom.seq": {"encoder": "hcn", "options": {"channel": 1}}},
            "encoder 'hcn', channel: ",
        ),
        ({"encoders.custom.seq": {"encoder": "hcn", "version": "1"}}, "version 1 .* is built in"),
        (
            {"encoders.custom.seq": {"encoder": "hcn"}, "encoders.frames": 40},
            "multiple of 16 for seq",
        ),
    ],
)
def test_a_wrong_name_or_option_is_one_line_with_what_is_valid(
    loaded: Path, tree: dict[str, Any], expected: str
):
    text = mistake({f"pretrain.{key}": value for key, value in tree.items()})
    assert text.startswith("study.yaml: pretrain") or "unknown key" in text
    assert re.search(expected, text), text


def test_an_option_without_default_must_be_set():
    def needs(view: Tensor, generator: torch.Generator, strength: float) -> Tensor:
        return view

    skelcon.register_augmentation("needs", version=1)(needs)
    assert "option 'strength' must be set" in mistake({"pretrain.augment.use": ["needs"]})
    config = AugmentConfig(use=("needs",), custom={"needs": {"strength": 2}})
    assert config.options("needs") == {"strength": 2.0}
    assert Settings().pretrain.augment.registered == ()


def test_any_option_where_the_function_takes_any():
    def loose(view: Tensor, generator: torch.Generator, **options: object) -> Tensor:
        return view

    skelcon.register_augmentation("loose", version=1)(loose)
    config = AugmentConfig(use=("loose",), custom={"loose": {"a": (1, 2)}})
    assert config.options("loose") == {"a": [1, 2]}
    assert "'a' is not a plain value" in mistake({"pretrain.augment.custom.loose.a": {1, 2}})
