import math

import pytest
from pydantic import ValidationError

from skelcon.pretrain import OptimiserConfig, PretrainConfig


def rates(config: OptimiserConfig, epochs: int) -> list[float]:
    return [config.lr_at(epoch, epochs) for epoch in range(epochs)]


def test_the_papers_schedule_drops_once():
    config = PretrainConfig()
    assert config.epochs == 451
    lr = rates(config.optimiser, config.epochs)
    assert lr[:351] == [0.01] * 351
    assert lr[351:] == pytest.approx([0.001] * 100)


def test_each_milestone_divides_by_ten():
    config = OptimiserConfig(lr=1.0, milestones=(2, 4))
    assert rates(config, 6) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_falls_to_zero():
    config = OptimiserConfig(lr=0.5, schedule="cosine", milestones=(1,))
    expected = [0.25 * (1 + math.cos(math.pi * epoch / 5)) for epoch in range(5)]
    assert rates(config, 5) == pytest.approx(expected)
    assert rates(config, 5)[0] == 0.5


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_warmup_rises_linearly_to_the_schedule(schedule: str):
    options = {"lr": 0.3, "schedule": schedule, "milestones": (5,)}
    plain = rates(OptimiserConfig.model_validate(options), 7)
    warm = rates(OptimiserConfig.model_validate({**options, "warmup": 2}), 7)
    factors = (1 / 3, 2 / 3, 1, 1, 1, 1, 1)
    assert warm == pytest.approx([f * lr for f, lr in zip(factors, plain, strict=True)])


def test_rates_are_those_of_the_representations_that_train():
    lr = {"img": 0.001, "stg": 0.001, "seq": 0.006}

    def rate(*names: str) -> object:
        config = PretrainConfig.model_validate({"representations": names, "optimiser": {"lr": lr}})
        return config.resolved()["optimiser"]["lr"]

    # A single one, and several that are alike, are the units that they are with a plain number.
    assert (rate("seq"), rate("stg", "img")) == (0.006, 0.001)
    assert rate("seq", "img") == {"img": 0.001, "seq": 0.006}
    lr = {"img": 0.001, "default": 0.006}
    assert (rate("img"), rate("seq"), rate("stg", "seq")) == (0.001, 0.006, 0.006)
    assert rate("img", "seq") == {"img": 0.001, "seq": 0.006}
    with pytest.raises(ValidationError, match="no rate for 'seq', only for img"):
        PretrainConfig.model_validate({"optimiser": {"lr": {"img": 0.1}}})
    for wrong in (0.0, {"seq": -1.0}, {"seq": "fast"}):
        with pytest.raises(ValidationError):
            PretrainConfig.model_validate({"optimiser": {"lr": wrong}})


def test_resolved_names_everything_in_use_in_full():
    resolved = PretrainConfig(representations=("seq", "img")).resolved()
    assert resolved["representations"] == ["img", "seq"]
    assert set(resolved["encoders"]) == {"img", "seq", "frames", "orientation"}
    assert set(resolved["augment"]) == {"use", "crop", "pose", "jitter"}
    assert set(resolved["optimiser"]) == set(OptimiserConfig.model_fields)
    assert resolved["encoders"]["seq"]["hidden"] == 1024
    # The monitor is off, the objective is the paper's, both views are alike, and all clips train.
    left_out = {"monitor", "objective", "views", "share"}
    assert set(resolved) == set(PretrainConfig.model_fields) - left_out


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"augment": {"use": ("crop",), "jitter": {"joints": 3}}}, {"augment": {"use": ("crop",)}}),
        ({"encoders": {"stg": {"kernel": 5}}}, {}),
        (
            {"optimiser": {"schedule": "cosine", "milestones": (3,)}},
            {"optimiser": {"schedule": "cosine"}},
        ),
        ({"optimiser": {"name": "adamw", "momentum": 0.5}}, {"optimiser": {"name": "adamw"}}),
        ({"representations": ("seq", "stg")}, {"representations": ("stg", "seq")}),
        (
            {"augment": {"use": ("pose", "crop")}},
            {"augment": {"use": ("crop", "pose")}},
        ),
    ],
    ids=["augmentation", "encoder", "cosine", "adamw", "order", "order of augmentations"],
)
def test_what_is_not_in_use_decides_nothing(one: dict[str, object], other: dict[str, object]):
    resolved = [PretrainConfig.model_validate(tree).resolved() for tree in (one, other)]
    assert resolved[0] == resolved[1]


@pytest.mark.parametrize(
    "change",
    [
        {"augment": {"jitter": {"joints": 3}}},
        {"encoders": {"seq": {"stepwise": True}}},
        {"optimiser": {"milestones": (3,)}},
        {"optimiser": {"momentum": 0.5}},
        {"contrast": {"momentum": 0.5}},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_what_is_in_use_decides(change: dict[str, object]):
    assert PretrainConfig.model_validate(change).resolved() != PretrainConfig().resolved()


@pytest.mark.parametrize("names", [("img",), ("stg", "seq"), ("img", "stg", "seq")], ids="+".join)
@pytest.mark.parametrize("schedule", ["step", "cosine"])
@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("use", [(), ("crop", "jitter")], ids=["none", "crop+jitter"])
def test_resolved_makes_the_same_configuration_again(
    names: tuple[str, ...], schedule: str, optimiser: str, use: tuple[str, ...]
):
    config = PretrainConfig.model_validate(
        {
            "representations": names,
            "augment": {"use": use, "crop": {"l_min": 0.3}},
            "optimiser": {"name": optimiser, "schedule": schedule, "lr": 0.2},
            "encoders": {"stg": {"channels": (8, 16), "strides": (2, 1)}},
        }
    )
    resolved = config.resolved()
    again = PretrainConfig.model_validate(resolved)
    assert again.resolved() == resolved
    assert again.representations == config.representations


def test_a_representation_is_named_once():
    with pytest.raises(ValidationError, match="duplicate representation 'seq'"):
        PretrainConfig(representations=("seq", "seq"))
