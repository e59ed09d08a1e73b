"""Presets: recipes by data set against their sources, and files of the user's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import skelcon
from skelcon.errors import UserError
from skelcon.presets import PRESETS, DataNames, Preset, canonical_data, resolve_with_preset
from skelcon.pretrain import PretrainConfig
from skelcon.settings import Settings

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "mine.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def on(preset: str | Path, name: str, task: str | None = None, **overrides: Any) -> Settings:
    names = DataNames(name, task or name)
    return resolve_with_preset(Preset.of(preset).tree, (), overrides, "test", names)


# Queue and epochs: section 4.2 ("450" is the code's 451, as it keeps epoch 450 of 0 to 450; "600").
# Milestones of NTU-60, and all of the code's NTU-120: `--schedule` and `--epochs` of
# script_pretrain.sh. Of PKU-MMD nothing is stated: 100 epochs before the end, as in both of these.
RECIPES = {
    ("paper", "ntu60"): (16384, 451, (351,)),
    ("paper", "ntu120"): (16384, 451, (351,)),
    ("paper", "pkummd1"): (8192, 600, (500,)),
    ("paper", "pkummd2"): (2048, 600, (500,)),
    ("authors", "ntu60"): (16384, 451, (351,)),
    ("authors", "ntu120"): (16384, 351, (251, 351)),
    ("authors", "pkummd1"): (8192, 600, (500,)),
    ("authors", "pkummd2"): (2048, 600, (500,)),
}


@pytest.mark.parametrize(("preset", "data"), RECIPES)
def test_recipes_by_data_set_are_those_of_their_sources(preset: str, data: str) -> None:
    queue, epochs, milestones = RECIPES[preset, data]
    found = on(preset, data)
    expected = resolve_with_preset(Preset.of(preset).tree, (), {}, "test").model_dump()
    expected["pretrain"]["contrast"]["queue"] = queue
    expected["pretrain"]["epochs"] = epochs
    expected["pretrain"]["optimiser"]["milestones"] = milestones
    assert found.model_dump() == expected  # and nothing else differs


def test_the_rest_of_the_papers_recipe() -> None:
    """Sections 4.2 and A.1; in brackets what only the code says."""
    found = on("paper", "ntu60")
    pretrain, linear, finetune = found.pretrain, found.of("linear"), found.of("finetune")
    assert found == Settings()
    assert pretrain.optimiser.model_dump(exclude={"warmup", "schedule", "milestones"}) == {
        "name": "sgd",
        "lr": 0.01,
        "momentum": 0.9,  # (main_moco_*.py)
        "weight_decay": 1e-4,
    }
    assert (pretrain.batch, pretrain.contrast.temperature, pretrain.contrast.dim) == (64, 0.07, 128)
    assert pretrain.contrast.momentum == 0.999  # (--moco-m)
    assert (pretrain.augment.jitter.joints, pretrain.augment.crop.l_min) == (15, 0.1)
    assert (pretrain.augment.jitter.mode, pretrain.augment.crop.min_frames) == ("matrix", 1)
    assert (pretrain.encoders.frames, pretrain.encoders.orientation) == (64, "first_frame")
    assert (pretrain.encoders.seq.layers, pretrain.encoders.seq.hidden) == (3, 1024)
    assert not pretrain.encoders.seq.stepwise
    assert (linear.lr, linear.epochs, linear.milestones) == (0.1, 80, (50, 70))
    assert (finetune.lr, finetune.epochs, finetune.milestones) == (1e-4, 50, (30, 40))
    assert (linear.min_frames, finetune.min_frames) == (1, 1)


def test_what_the_authors_code_does_otherwise_and_nothing_else() -> None:
    found = on("authors", "ntu60").model_dump()
    expected = Settings().model_dump()
    expected["pretrain"]["augment"]["jitter"]["mode"] = "mixed"
    expected["pretrain"]["encoders"]["seq"]["stepwise"] = True
    for section in (expected["pretrain"]["augment"]["crop"], expected["linear"]):
        section["min_frames"] = 64
    for task in ("finetune", "mlp", "robustness"):
        expected[task]["min_frames"] = 64
    assert found == expected


def test_of_a_transfer_each_data_set_counts_for_its_part(write: Write) -> None:
    path = write(
        "by_data:\n"
        "  NTU-60: {pretrain.epochs: 7, linear.epochs: 8, finetune: {epochs: 9}}\n"
        "  pku_mmd_ii: {pretrain.epochs: 17, linear: {epochs: 18}}\n"
    )
    found = on(path, "ntu60", "PKU-MMD II")
    assert (found.pretrain.epochs, found.linear.epochs, found.finetune.epochs) == (7, 18, 50)
    found = on(path, "pkummd2", "ntu60")
    assert (found.pretrain.epochs, found.linear.epochs, found.finetune.epochs) == (17, 8, 9)
    assert on(path, "utd-mhad") == Settings()
    assert on("paper", "pkummd2", "ntu60").pretrain == on("paper", "pkummd2").pretrain


def test_the_order_of_what_is_set(write: Write) -> None:
    path = write(
        "pretrain: {epochs: 1, batch: 2}\n"
        "linear.epochs: 3\n"
        "by_data: {mine: {pretrain: {epochs: 10, batch: 20}, linear.epochs: 30}}\n"
        "by_representations: {seq+img: {pretrain.epochs: 100}}\n"
    )
    pair = {"pretrain.representations": ["img", "seq"]}
    tree = Preset.of(path).tree

    def values(name: str, *trees: Any, **more: Any) -> tuple[int, int, int]:
        found = resolve_with_preset(tree, trees, more, "test", DataNames(name, name))
        return found.pretrain.epochs, found.pretrain.batch, found.linear.epochs

    assert values("other") == (1, 2, 3)
    assert values("Mine") == (10, 20, 30)
    assert values("mine", pair) == (100, 20, 30)
    assert values("mine", pair, {"pretrain.epochs": 5}) == (5, 20, 30)
    assert values("mine", pair, {"pretrain.epochs": 5}, **{"pretrain.epochs": 6}) == (6, 20, 30)


@pytest.mark.parametrize(
    ("names", "canonical"),
    [
        (("ntu60", "ntu-60", "NTU RGB+D 60", "nturgbd_60"), "ntu60"),
        (("ntu120", "NTU-120"), "ntu120"),
        (("pkummd1", "PKU-MMD I", "pku_mmd_1", "PKU-I"), "pkummd1"),
        (("pkummd2", "PKU-MMD II", "pku2"), "pkummd2"),
        (("UTD-MHAD", "utd_mhad"), "utdmhad"),
        (("pku3", "PKU 3"), "pku3"),
    ],
)
def test_a_data_sets_name_has_one_spelling(names: tuple[str, ...], canonical: str) -> None:
    assert {canonical_data(name) for name in names} == {canonical}


def test_a_file_extends_a_preset_or_a_file(write: Write) -> None:
    own = "by_data: {a: {linear.lr: 1}}\nby_representations: {img: {linear.lr: 2}}\n"
    base = write(f"extends: small\npretrain.epochs: 33\n{own}", "base.yaml")
    path = write("extends: ../base.yaml\nby_data: {a: {linear.epochs: 2}}\n", "deep/my recipe.yml")
    small, found = Preset.of("small"), Preset.of(path)
    assert (found.name, str(found), found.base) == ("my recipe.yml", "my recipe.yml", "small")
    assert found.changes == {
        "pretrain": {"epochs": 33},
        "by_data": {"a": {"linear": {"lr": 1, "epochs": 2}}},
        "by_representations": {"img": {"linear": {"lr": 2}}},
    }
    assert found.tree["by_representations"] == {"img": {"linear": {"lr": 2}}}
    assert {k: v for k, v in found.tree["pretrain"].items() if k != "epochs"} == {
        k: v for k, v in small.tree["pretrain"].items() if k != "epochs"
    }
    assert (on(path, "a").pretrain.epochs, on(path, "a").linear.lr) == (33, 1)
    assert Preset.of(base).tree["by_data"] == {"a": {"linear": {"lr": 1}}}
    assert "by_data" not in small.tree
    assert Preset.from_json(found.to_json()) == found
    assert Preset.from_json("small") == small  # as earlier versions kept it


def test_how_it_was_chosen_is_kept_and_changes_no_setting(write: Write) -> None:
    small = Preset.of("small")
    assert "cross-validation" in small.chosen
    assert not Preset.of("paper").chosen
    inherits = Preset.of(write("extends: small\nlinear.lr: 1\n", "a.yaml"))
    assert inherits.chosen == small.chosen
    own = Preset.of(write("extends: small\nchosen: on my subjects\n", "b.yaml"))
    assert (own.chosen, own.tree, own.changes) == ("on my subjects", small.tree, {})
    assert Preset.from_json(own.to_json()) == own


def test_its_content_counts_and_not_its_name(write: Write) -> None:
    paths = [write("extends: quick\nlinear.lr: 0.5\n", f"{name}.yaml") for name in "ab"]
    assert on(paths[0], "x") == on(paths[1], "x") != on("quick", "x")
    paper = write("extends: paper\n", "paper.yaml")
    odd = write("extends: paper\n", "paper")
    assert not Preset.of(paper).at_paper_scale
    assert not Preset.of(odd).at_paper_scale  # found by its directory
    assert [name for name in PRESETS if Preset.of(name).at_paper_scale] == ["paper", "authors"]


def test_a_built_in_name_comes_before_a_file(write: Write, monkeypatch: Any) -> None:
    path = write("linear.lr: 0.5\n", "small")
    write("linear.lr: 0.25\n", "other")
    monkeypatch.chdir(path.parent)
    assert Preset.of("small").tree["pretrain"]
    assert Preset.of("./small").tree == {"linear": {"lr": 0.5}}
    assert Preset.of("other").tree == {"linear": {"lr": 0.25}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\npretrain: {epochs: 3}\n", "', line 1: unknown key 'a'"),
        ("linear.lr: 1\npretrain:\n  epochs: many\n", "', line 3: pretrain.epochs: .*'many'"),
        ("linear.lr: 1\npretrain.epochs: 0\n", "', line 2: pretrain.epochs: .*(given: 0)"),
        ("pretrain:\n  epoch: 3\n", "', line 2: unknown key 'pretrain.epoch': did you mean"),
        ("pretrain: 3\n", "', line 1: pretrain: "),
        ("by_data:\n  x:\n    linear.l: 1\n", "', line 3: unknown key 'linear.l'"),
        ("by_data:\n  NTU-60:\n    linear: {epochs: 0}\n", "', line 3: linear.epochs"),
        ("by_data:\n  ntu60: {}\n  NTU-60: {}\n", "', line 3: by_data: 'NTU-60' and 'ntu60' are"),
        ("by_data: [ntu60]\n", "', line 1: by_data: give a mapping"),
        ("by_data:\n  ntu60: 3\n", "', line 2: by_data: 'ntu60' needs a mapping"),
        ("by_representations:\n  sqe: {}\n", "', line 2: by_representations: .*mean 'seq'"),
        ("by_representations:\n  img+seq: {pretrain.epochs: x}\n", "', line 2: pretrain.epochs"),
        (
            "by_representations:\n  img: {pretrain.encoders.frames: 24}\n",
            "', line 2: pretrain: .*multiple of 16",
        ),
        ("extends: smal\n", "', line 1: extends: unknown preset 'smal': did you mean 'small'"),
        ("chosen: [1]\n", "', line 1: chosen: give a text"),
        ("extends: [small]\n", "', line 1: extends: give a preset's name"),
        ("extends: none.yaml\n", "cannot read '.*none.yaml'"),
        ("extends: ./mine.yaml\n", "', line 1: extends: .*'.*mine.yaml' extends itself"),
        ("- 1\n", "must be a mapping"),
        ("linear: {\n", "line 2: not valid YAML"),
    ],
)
def test_a_wrong_file_names_the_line(write: Write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(UserError) as caught:
        Preset.of(path)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert str(caught.value).startswith(f"'{path}'")
    assert "\n" not in str(caught.value)


def test_a_file_that_spoils_what_it_extends_is_named(write: Write) -> None:
    write("extends: small\nby_representations: {img: {linear.lr: 1}}\n", "base.yaml")
    path = write("extends: base.yaml\npretrain.encoders.frames: 24\n")
    with pytest.raises(UserError, match=r"mine\.yaml', line 2: pretrain: .*multiple of 16"):
        Preset.of(path)


def test_the_preset_of_the_readme(write: Write) -> None:
    text = (Path(skelcon.__file__).parent / "README.md").read_text()
    (example,) = re.findall(r"<!-- preset -->\n```yaml\n(.*?)```", text, re.DOTALL)
    found = on(write(example), "UTD-MHAD")
    assert (found.pretrain.encoders.orientation, found.pretrain.batch) == ("median", 48)


@pytest.mark.parametrize(("asked", "hint"), [("nowhere", "valid: "), ("papr", "'paper'?")])
def test_what_is_neither_a_name_nor_a_file(asked: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        Preset.of(asked)
    assert str(caught.value).startswith(f"unknown preset '{asked}': ")
    assert hint in str(caught.value)
    assert "path of a .yaml file" in str(caught.value)
    with pytest.raises(UserError, match="cannot read"):
        Preset.of(f"{asked}.yaml")
    with pytest.raises(UserError, match=r"~nobody-here/x\.yaml': this home directory is unknown"):
        Preset.of("~nobody-here/x.yaml")


def test_the_authors_preset_builds_the_encoders_of_their_checkpoints() -> None:
    """The settings equal the ones of `read_checkpoint`, which is tested against their features."""
    from skelcon.encoders import AGCNConfig, BiGRUConfig, HCNConfig

    config: PretrainConfig = on("authors", "ntu60").pretrain
    assert config.encoders.seq == BiGRUConfig(hidden=1024, layers=3, stepwise=True)
    widths = (64,) * 4 + (128,) * 3 + (256,) * 3
    strides = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)
    assert config.encoders.stg == AGCNConfig(channels=widths, strides=strides, kernel=9)
    assert config.encoders.img == HCNConfig(channels=64, cooccurrence=64, dropout=0.5)


def test_a_preset_is_settings_in_one_step():
    settings = skelcon.preset("small", {"pretrain": {"epochs": 7, "representations": ["img"]}})
    assert settings.pretrain.epochs == 7
    assert settings.pretrain.optimiser.lr == 0.001  # that of IMG
    on_data = skelcon.preset(data="PKU-MMD II").pretrain
    assert (on_data.contrast.queue, skelcon.preset().pretrain.contrast.queue) == (2048, 16384)
    with pytest.raises(UserError, match=r"did you mean 'pretrain\.epochs'"):
        skelcon.preset("small", {"pretrain.epoch": 7})


def test_settings_print_what_is_not_the_papers():
    assert repr(skelcon.preset()) == "Settings()"
    small = repr(skelcon.preset("small", {"pretrain.epochs": 7}))
    assert "epochs=7" in small
    assert "temperature" not in small
    assert len(small) < 1500


@pytest.mark.parametrize("preset", ["quick", "small"])
@pytest.mark.parametrize("encoder", ["stgcn", "ctrgcn", "transformer"])
def test_small_presets_scale_every_encoder(preset: str, encoder: str) -> None:
    """Their sizes are defaults, which an encoder's own options change one by one."""
    key = "pretrain.encoders.custom.stg"
    encoders = skelcon.preset(preset, {f"{key}.encoder": encoder}).pretrain.encoders
    scaled, published = (
        getattr(e, encoder) for e in (encoders, skelcon.preset().pretrain.encoders)
    )
    chosen = encoders.chosen("stg").options
    assert chosen == scaled.model_dump(mode="json")
    size = "dim" if encoder == "transformer" else "channels"
    assert chosen[size] < published.model_dump(mode="json")[size]
    own = {"depth": 1} if encoder == "transformer" else {"kernel": 3}
    changed = skelcon.preset(preset, {key: {"encoder": encoder, "options": own}})
    assert changed.pretrain.encoders.chosen("stg").options == {**chosen, **own}
