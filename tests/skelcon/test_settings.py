from pathlib import Path
from typing import Any

import pytest

from skelcon.errors import UserError
from skelcon.presets import PRESETS, preset_tree, resolve_with_preset
from skelcon.settings import Settings, merge, parse_assignment, put, resolve
from skelcon.yamlfile import read_yaml


def from_dotted(**values: object) -> Settings:
    return resolve([{key.replace("__", "."): value for key, value in values.items()}], "test")


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("pretrian.below", "did you mean 'pretrain'?"),
        ("pretrain.epoch", "did you mean 'pretrain.epochs'?"),
        ("pretrain.augment.crop.lmin", "did you mean 'pretrain.augment.crop.l_min'?"),
        ("pretrain.encoders.seq.hiden", "did you mean 'pretrain.encoders.seq.hidden'?"),
        ("linear.learning", "valid: batch, crops, "),
        ("finetune.label", "did you mean 'finetune.labels'?"),
    ],
)
def test_an_unknown_key_names_the_nearest(key: str, nearest: str):
    with pytest.raises(UserError) as caught:
        resolve([{key: 1}], "--set")
    text = str(caught.value)
    assert text.startswith(f"--set: unknown key '{key.removesuffix('.below')}'")
    assert nearest in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pretrain.epochs", "many"),
        ("pretrain.epochs", 0),
        ("pretrain.epochs", 2.5),
        ("pretrain.precision", "fp16"),
        ("pretrain.augment.crop.l_min", 1.5),
        ("pretrain.optimiser.milestones", "early"),
        ("linear.lr", "fast"),
        ("retrieval.test_ratio", -0.1),
        ("finetune.labels", 0),
        ("finetune.labels", 1.5),
        ("finetune.subsets", 0),
    ],
)
def test_a_wrong_value_names_key_and_value(key: str, value: object):
    with pytest.raises(UserError) as caught:
        resolve([{key: value}], "study.yaml")
    text = str(caught.value)
    assert text.startswith(f"study.yaml: {key}: ")
    assert f"(given: {value!r})" in text
    assert "\n" not in text


def test_a_list_names_the_entry_that_is_wrong():
    with pytest.raises(UserError, match=r"pretrain\.representations\.1: .*'rgb'"):
        resolve([{"pretrain.representations": ["seq", "rgb"]}], "test")


def test_a_value_where_keys_are_expected():
    with pytest.raises(UserError, match=r"'pretrain' is a value"):
        resolve([{"pretrain": 3}, {"pretrain.epochs": 2}], "test")
    with pytest.raises(UserError, match=r"test: pretrain: .*\(given: 3\)"):
        resolve([{"pretrain": 3}], "test")


def test_dotted_keys_and_mappings_merge():
    tree: dict[str, Any] = {}
    merge(tree, {"a.b.c": 1, "a": {"b": {"d": 2}, "e": 3}})
    merge(tree, {"a": {"b.c": 4}, "f": [1]})
    assert tree == {"a": {"b": {"c": 4, "d": 2}, "e": 3}, "f": [1]}
    put(tree, "a.b", 5)
    assert tree["a"] == {"b": 5, "e": 3}


@pytest.mark.parametrize("tree", [{}, {"a": {}}, {"a": {"b": {"d": 2}}}], ids=str)
def test_a_key_may_be_dotted_at_any_depth(tree: dict[str, Any]):
    """Whatever stood there before."""
    merge(tree, {"a": {"b.c": 1}})
    assert tree["a"]["b"]["c"] == 1
    assert "b.c" not in tree["a"]


def test_merging_leaves_the_changes_alone():
    changes = {"a": {"b": {"c": 1}}, "d": [1, 2]}
    tree: dict[str, Any] = {}
    merge(tree, changes)
    tree["a"]["b"]["c"] = 2
    tree["d"].append(3)
    merge(tree, {"a.b.e": 3})
    assert changes == {"a": {"b": {"c": 1}}, "d": [1, 2]}


def test_later_trees_win_and_the_rest_is_default():
    settings = resolve(
        [
            {"pretrain": {"epochs": 5, "augment": {"crop": {"l_min": 0.3}}}},
            {"pretrain.epochs": 7, "linear.lr": 0.5},
        ],
        "test",
    )
    assert settings.pretrain.epochs == 7
    assert settings.pretrain.augment.crop.l_min == 0.3
    assert settings.linear.lr == 0.5
    default = Settings()
    assert settings.pretrain.contrast == default.pretrain.contrast
    assert settings.retrieval == default.retrieval


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pretrain.epochs=3", ("pretrain.epochs", 3)),
        (" linear.lr =1.0e-2", ("linear.lr", 0.01)),
        ("a.b=[1, 2]", ("a.b", [1, 2])),
        ("a={b: c}", ("a", {"b": "c"})),
        ("a=x=y", ("a", "x=y")),
        ("a=true", ("a", True)),
        ("a=", ("a", None)),
    ],
)
def test_parse_assignment(text: str, expected: tuple[str, object]):
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["pretrain.epochs", "=3", " =3", "a=[1", ""])
def test_parse_assignment_refuses(text: str):
    with pytest.raises(UserError, match="--set"):
        parse_assignment(text)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_load_and_validate(name: str):
    settings = resolve_with_preset(preset_tree(name), (), {}, name)
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings
    assert (settings == Settings()) == (name == "paper")


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(UserError, match="unknown preset 'smal': did you mean 'small'"):
        preset_tree("smal")


def test_a_file_that_is_not_a_mapping_or_not_yaml(tmp_path: Path):
    path = tmp_path / "study.yaml"
    with pytest.raises(UserError, match="cannot read"):
        read_yaml(path)
    path.write_text("- 1\n- 2\n")
    with pytest.raises(UserError, match="must be a mapping"):
        read_yaml(path)
    path.write_text("a: 1\nb: [1\n")
    with pytest.raises(UserError, match=r"study\.yaml', line \d: not valid YAML"):
        read_yaml(path)
    path.write_text("a: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(UserError, match="not valid YAML"):
        read_yaml(path)
