"""Components from a module outside the package: settings, keys, training, weights, mistakes."""

import importlib.metadata
import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import skelcon
from skelcon.augment import AUGMENTATIONS, FURTHER, NAMES, AugmentConfig, augmented_view
from skelcon.contrast import pairings
from skelcon.data import ClipBank, SkeletonLayout
from skelcon.downstream import extract
from skelcon.encoders import ENCODERS, REGISTERED, REPRESENTATIONS, Encoder, EncodersConfig
from skelcon.errors import UserError
from skelcon.plugins import GROUP, load_plugins
from skelcon.pretrain import PretrainConfig, Pretraining
from skelcon.pretrain.weights import load_encoders, save_encoders
from skelcon.settings import Settings, resolve

REGISTRIES = (AUGMENTATIONS, ENCODERS, REGISTERED)
BUILT_IN = ("hcn", "agcn", "bigru", "stgcn", "ctrgcn", "transformer")

PLUGIN = """
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import nn

from skelcon import register_augmentation, register_encoder, register_representation

if TYPE_CHECKING:
    from torch import Tensor


@register_augmentation("mirror", version="3")
def mirror(view: torch.Tensor, generator: torch.Generator, p: float = 0.5) -> torch.Tensor:
    flipped = torch.rand(len(view), generator=generator) < p
    sign = torch.ones(len(view), 3)
    sign[flipped, 0] = -1
    return view * sign[:, None, None, None].to(view)


@register_augmentation("noise", version=1)
def noise(view: Tensor, generator, *, std=0.01, joints: list[int] | None = None):
    return view + std * torch.randn(view.shape, generator=generator)


@register_encoder("mean-net", version="2")
class MeanNet(nn.Module):
    def __init__(
        self, layout, bodies: int, frames: int, width: Annotated[int, Field(ge=1)] = 4
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(bodies * layout.num_joints * 3, width)
        self.norm = nn.BatchNorm1d(width)
        self.feature_size = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(x).mean(dim=1))


@register_representation("motion", version="1", encoder="mean-net")
def motion(view: torch.Tensor) -> torch.Tensor:
    steps = view[:, :, 1:] - view[:, :, :-1]
    return steps.permute(0, 2, 3, 4, 1).flatten(2)


@register_representation("bone", version="1")
def bone(view: torch.Tensor) -> torch.Tensor:
    return (view - view[..., :1, :]).permute(0, 2, 3, 4, 1).flatten(2)
"""

SMALL: dict[str, Any] = {
    "encoders": {
        "img": {"channels": 4, "cooccurrence": 16},
        "stg": {"channels": (8,), "strides": (2,)},
        "seq": {"hidden": 8, "layers": 1},
        "frames": 16,
    },
    "contrast": {"dim": 8, "head_hidden": 8, "queue": 20, "momentum": 0.9},
    "optimiser": {"milestones": (2,), "lr": 0.05},
    "epochs": 2,
    "batch": 6,
}


@pytest.fixture(autouse=True)
def _registries_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a test registers, imports and puts on the path is gone after it."""
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "my_plugin.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def loaded(plugin: Path) -> Path:
    load_plugins([str(plugin)])
    return plugin


def pretrain(**changes: object) -> PretrainConfig:
    return PretrainConfig.model_validate({**SMALL, **changes})


def mistake(tree: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        resolve([tree], "study.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names() -> list[tuple[str, ...]]:
    return [registry.names() for registry in REGISTRIES]


# -- loading -------------------------------------------------------------------------------


def test_a_plugin_is_found_by_module_and_by_path_and_loading_again_changes_nothing(
    plugin: Path, tmp_path: Path
):
    before = names()
    assert before == [(*NAMES, *FURTHER), BUILT_IN, REPRESENTATIONS]
    load_plugins(["my_plugin"], tmp_path)
    once = names()
    assert once[0] == (*NAMES, *FURTHER, "mirror", "noise")
    assert once[1] == (*BUILT_IN, "mean-net")
    assert once[2] == (*REPRESENTATIONS, "bone", "motion")
    function = AUGMENTATIONS["mirror"].function
    load_plugins(["my_plugin", str(plugin)], tmp_path)
    load_plugins(["my_plugin.py"], tmp_path)
    assert names() == once
    assert AUGMENTATIONS["mirror"].function is function


def test_the_current_directory_is_searched_but_shadows_nothing_that_is_installed(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "uuid.py").write_text("raise RuntimeError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "uuid", raising=False)
    load_plugins(["my_plugin", "uuid"])
    assert "mirror" in AUGMENTATIONS


def test_a_plugin_in_a_package_and_one_that_imports_its_neighbour(tmp_path: Path):
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text(PLUGIN.replace("mirror", "turn"))
    (tmp_path / "neighbour.py").write_text("NAME = 'from-neighbour'")
    (tmp_path / "uses_neighbour.py").write_text(
        "from neighbour import NAME\n"
        "from skelcon import register_augmentation\n"
        "register_augmentation(NAME, version=1)(lambda view, generator: view)\n"
    )
    load_plugins(["my_package.part"], tmp_path)
    load_plugins([str(tmp_path / "uses_neighbour.py")])
    assert "turn" in AUGMENTATIONS
    assert "from-neighbour" in AUGMENTATIONS


def test_installed_plugins_are_loaded_without_being_named(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    info = tmp_path / "site" / "their_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\ntheirs = their_plugin\n")
    code = tmp_path / "site" / "their_plugin.py"
    code.write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert importlib.metadata.version("their-plugin") == "1.0"
    load_plugins()
    assert AUGMENTATIONS["mirror"].module == "their_plugin"
    del sys.modules["their_plugin"]
    code.write_text("import no_such_module_at_all\n")
    with pytest.raises(UserError, match="installed plugin 'their_plugin' cannot be imported"):
        load_plugins()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my_plugni", "plugin 'my_plugni': no such module.*did you mean 'my_plugin'"),
        ("my_plugni.py", r"plugin 'my_plugni\.py': there is no file '/.*my_plugni\.py'"),
        ("a_directory", "plugin 'a_directory': it is a directory, not a module"),
        ("broken", r"'broken' cannot be imported: ZeroDivisionError: .*broken\.py, line 3\)"),
        ("broken.py", r"'broken\.py' cannot be imported: ZeroDivisionError"),
        ("syntax", r"'syntax' cannot be imported: SyntaxError: .*syntax\.py, line 2\)"),
        ("needs", r"cannot be imported: ModuleNotFoundError: No module named 'not_there'.*line 1"),
        ("leaves", "cannot be imported: SystemExit: 3"),
        ("json.py", "plugin 'json.py': another module has the name 'json': rename"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_one_line(
    plugin: Path, tmp_path: Path, name: str, expected: str
):
    (tmp_path / "a_directory").mkdir()
    (tmp_path / "broken.py").write_text("\n\n1 / 0\n")
    (tmp_path / "syntax.py").write_text("\ndef f(:\n")
    (tmp_path / "needs.py").write_text("import not_there\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "json.py").write_text("")
    for _ in range(2):  # a second try says the same
        with pytest.raises(UserError, match=expected) as caught:
            load_plugins([name], tmp_path)
        assert "\n" not in str(caught.value)
    load_plugins(["my_plugin"], tmp_path)


def test_a_name_that_the_package_does_not_have():
    with pytest.raises(AttributeError, match="no attribute 'register'"):
        _ = skelcon.register


# -- registering ---------------------------------------------------------------------------


def unchanged(view: Tensor, generator: torch.Generator) -> Tensor:
    return view


@pytest.mark.parametrize(
    "name", ["crop", "flip", "use", "custom", "Mirror", "a.b", "a+b", "", "1st"]
)
def test_a_name_that_is_taken_or_not_valid(name: str):
    with pytest.raises(UserError, match=f"augmentation '{name.replace('+', '.')}': "):
        skelcon.register_augmentation(name, version=1)(unchanged)
    assert names()[0] == (*NAMES, *FURTHER)


@pytest.mark.parametrize("name", ["seq", "frames", "items", "training"])
def test_reserved_names_of_representations(name: str):
    """``items`` and ``training`` are attributes of the torch module that holds the branches."""
    with pytest.raises(UserError, match="skelcon uses this name"):
        skelcon.register_representation(name, version=1)(lambda view: view)


def test_a_name_belongs_to_one_function_which_may_be_defined_again():
    skelcon.register_augmentation("same", version=1)(unchanged)
    skelcon.register_augmentation("same", version=2)(unchanged)
    assert AUGMENTATIONS["same"].version == "2"
    with pytest.raises(UserError, match="augmentation 'same' is registered by both"):
        skelcon.register_augmentation("same", version=1)(lambda view, generator: view)


@pytest.mark.parametrize("version", ["", None, True, 1.5])
def test_a_version_is_a_text_or_a_number(version: Any):
    with pytest.raises(UserError, match="augmentation 'x': version"):
        skelcon.register_augmentation("x", version=version)(unchanged)


def test_a_function_that_cannot_take_its_arguments():
    with pytest.raises(UserError, match=r"'x': it must accept \(view, generator\)"):
        skelcon.register_augmentation("x", version=1)(lambda view: view)
    with pytest.raises(UserError, match=r"'x': it must accept \(layout, bodies, frames\)"):
        skelcon.register_encoder("x", version=1)(lambda layout, **options: nn.Identity())

    def odd(view: Tensor, generator: torch.Generator, like: Tensor) -> Tensor:
        return view

    with pytest.raises(UserError, match="'x': an option must be a number"):
        skelcon.register_augmentation("x", version=1)(odd)


# -- settings and keys ---------------------------------------------------------------------


def test_without_custom_components_nothing_of_them_shows():
    """So that the keys of units without them are what they always were."""
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


# -- views, encoders, training -------------------------------------------------------------


def test_registered_augmentations_follow_the_built_in_ones_in_the_order_of_use(
    small_bank: ClipBank,
):
    def add(view: Tensor, generator: torch.Generator) -> Tensor:
        return view + 1

    def double(view: Tensor, generator: torch.Generator, by: int = 2) -> Tensor:
        return view * by

    skelcon.register_augmentation("add", version=1)(add)
    skelcon.register_augmentation("double", version=1)(double)
    clips = torch.arange(6)

    def view(*use: str) -> Tensor:
        config = AugmentConfig(use=use, custom={"double": {"by": 3}})
        return augmented_view(small_bank, clips, config, 8, torch.Generator().manual_seed(5))

    plain = view("crop", "jitter")
    assert torch.equal(view("add", "double", "crop", "jitter"), (plain + 1) * 3)
    assert torch.equal(view("jitter", "crop", "double", "add"), plain * 3 + 1)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda view, generator: view[:, :1], r"a \(6, 1, 8, 20, 3\) torch.float32 tensor on cpu"),
        (
            lambda view, generator: view.double(),
            r"a \(6, 2, 8, 20, 3\) torch.float64 tensor on cpu",
        ),
        (lambda view, generator: None, "NoneType"),
    ],
)
def test_an_augmentation_that_does_not_return_a_view(small_bank: ClipBank, function: Any, got: str):
    skelcon.register_augmentation("wrong", version=1)(function)
    with pytest.raises(UserError, match=f"augmentation 'wrong' returned {got}, not a "):
        augmented_view(
            small_bank, torch.arange(6), AugmentConfig(use=("wrong",)), 8, torch.Generator()
        )


@pytest.mark.parametrize(
    "factory",
    [lambda layout, bodies, frames: nn.Identity(), lambda layout, bodies, frames: None],
    ids=["no feature_size", "no module"],
)
def test_a_factory_that_makes_no_encoder(small_layout: SkeletonLayout, factory: Any):
    skelcon.register_encoder("wrong", version=1)(factory)
    config = EncodersConfig.model_validate({"custom": {"seq": {"encoder": "wrong"}}})
    with pytest.raises(UserError, match="encoder 'wrong' is not a torch module with an int"):
        Encoder("seq", config, small_layout, 2)


def test_features_of_another_size_and_a_representation_of_other_clips(
    small_layout: SkeletonLayout,
):
    class Wrong(nn.Module):
        feature_size = 3

        def __init__(self, layout: SkeletonLayout, bodies: int, frames: int) -> None:
            super().__init__()

        def forward(self, x: Tensor) -> Tensor:
            return x.new_zeros(len(x), 4)

    skelcon.register_encoder("wrong", version=1)(Wrong)
    skelcon.register_representation("turned", version=1, encoder="wrong")(lambda view: view[0])
    config = EncodersConfig.model_validate({"custom": {"seq": {"encoder": "wrong"}}})
    view = torch.zeros(5, 2, 16, 20, 3)
    with pytest.raises(UserError, match=r"'wrong' returned features of shape \(5, 4\)"):
        Encoder("seq", config, small_layout, 2)(view)
    with pytest.raises(UserError, match=r"'turned' returned \(2, 16, 20, 3\), not .* of 5 clips"):
        Encoder("turned", config, small_layout, 2)(view)


def trained(bank: ClipBank, layout: SkeletonLayout, config: PretrainConfig) -> Pretraining:
    training = Pretraining(bank, np.arange(len(bank.lengths)), layout, config, seed=3)
    while not training.done:
        assert np.isfinite(training.run_epoch().loss)
    return training


def custom_config() -> PretrainConfig:
    custom = {
        "motion": {"encoder": "mean-net", "options": {"width": 6}},
        "stg": {"encoder": "hcn", "options": {"channels": 4, "cooccurrence": 16}},
    }
    return pretrain(
        augment={"use": ["crop", "mirror"]},
        representations=["motion", "stg", "seq"],
        encoders={**SMALL["encoders"], "custom": custom},
    )


def test_a_pretraining_with_custom_components_trains_them_and_gives_the_same_bits_again(
    loaded: Path, small_bank: ClipBank, small_layout: SkeletonLayout
):
    config = custom_config()
    start = Pretraining(small_bank, np.arange(24), small_layout, config, seed=3)
    assert start.contrast.pairs == pairings(["stg", "seq", "motion"])
    first, second = (trained(small_bank, small_layout, config) for _ in range(2))
    before = dict(start.contrast.named_parameters())
    same = dict(second.contrast.named_parameters())
    moved = set()
    for name, value in first.contrast.named_parameters():
        assert torch.equal(value, same[name]), name
        if not torch.equal(value, before[name]):
            moved.add(name)
    assert "branches.motion.query.0.network.linear.weight" in moved
    assert "branches.stg.query.0.network.conv5.weight" in moved
    assert first.contrast.encoder("motion").feature_size == 6


def test_an_option_of_a_custom_augmentation_changes_the_training(
    loaded: Path, small_bank: ClipBank, small_layout: SkeletonLayout
):
    losses = []
    for p in (0.0, 1.0):
        config = pretrain(augment={"use": ["mirror"], "custom": {"mirror": {"p": p}}}, epochs=1)
        training = Pretraining(small_bank, np.arange(24), small_layout, config, seed=3)
        losses.append(training.run_epoch().loss)
    assert losses[0] != losses[1]


# -- weights -------------------------------------------------------------------------------


@pytest.fixture
def weights(
    loaded: Path, small_bank: ClipBank, small_layout: SkeletonLayout, tmp_path: Path
) -> tuple[Path, Pretraining]:
    training = trained(small_bank, small_layout, custom_config())
    path = tmp_path / "weights.safetensors"
    encoders = {name: training.contrast.encoder(name) for name in ("stg", "seq", "motion")}
    save_encoders(path, encoders, training.config.encoders, small_layout, 2)
    return path, training


def test_weights_of_custom_components_give_the_same_features(
    weights: tuple[Path, Pretraining], small_bank: ClipBank
):
    path, training = weights
    encoders, config = load_encoders(path)
    assert list(encoders) == ["stg", "seq", "motion"]
    assert config.resolved(list(encoders)) == training.config.encoders.resolved(list(encoders))
    clips = torch.arange(24)
    for name, encoder in encoders.items():
        before, after = (
            extract(
                [e], clips, lambda some: small_bank.frames(some, torch.zeros(len(some), 16).long())
            )
            for e in (training.contrast.encoder(name), encoder)
        )
        assert torch.equal(before, after)
        assert before.std() > 0


def test_weights_without_their_plugin_say_which_is_missing_and_load_nothing(
    weights: tuple[Path, Pretraining], monkeypatch: pytest.MonkeyPatch
):
    path, _ = weights
    monkeypatch.setattr(ENCODERS, "_registered", {})
    with pytest.raises(UserError) as caught:
        load_encoders(path)
    text = str(caught.value)
    assert "needs the encoder 'mean-net', version 2, which no loaded plugin registers" in text
    assert "--plugin my_plugin" in text
    assert "\n" not in text
    monkeypatch.setattr(REGISTERED, "_registered", {})
    with pytest.raises(UserError, match="needs the representation 'motion', version 1"):
        load_encoders(path)


def test_weights_of_another_version_are_refused(
    weights: tuple[Path, Pretraining], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    path, _ = weights
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_registered", {})
    newer = tmp_path / "newer_plugin.py"
    newer.write_text(PLUGIN.replace('"mean-net", version="2"', '"mean-net", version="5"'))
    load_plugins([str(newer)])
    with pytest.raises(
        UserError, match="made with version 2 of the encoder 'mean-net', but version 5 is loaded"
    ):
        load_encoders(path)


def test_weights_without_custom_components_need_no_plugin(
    small_layout: SkeletonLayout, tmp_path: Path
):
    from safetensors import safe_open

    path = tmp_path / "weights.safetensors"
    config = EncodersConfig.model_validate(SMALL["encoders"])
    save_encoders(path, {"seq": Encoder("seq", config, small_layout, 2)}, config, small_layout, 2)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["skelcon"])
    assert set(header) == {"representations", "encoders", "layout", "bodies"}
    assert header["encoders"] == config.model_dump(mode="json", exclude={"custom"})
