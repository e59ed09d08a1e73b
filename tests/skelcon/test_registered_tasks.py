"""A task of a plugin: what it may be, where its settings are, and what its key holds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import Field

import skelcon
from skelcon.config import Config
from skelcon.downstream import OneGo, Task
from skelcon.downstream.tasks import TASK_PLUGINS, TASKS, task
from skelcon.errors import UserError
from skelcon.settings import resolve, setting_paths


class ChanceConfig(Config):
    times: int = Field(1, ge=1, description="how often")


def chance(**attributes: object) -> type[Task]:
    """A class like a user's, with some of its attributes changed."""
    own = {
        "settings": ChanceConfig,
        "metrics": ("top1", "times"),
        "start": lambda self, inputs, settings: OneGo(lambda: None),
    }
    return type("Chance", (Task,), {**own, **attributes})


@pytest.fixture(autouse=True)
def _registry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(TASK_PLUGINS, "_registered", dict(TASK_PLUGINS._registered))
    before = dict(TASKS)
    yield
    TASKS.clear()
    TASKS.update(before)


def test_settings_are_under_tasks_and_the_version_is_in_the_key():
    kind = skelcon.register_task("chance", version=3)(chance())
    assert kind.name == "chance"
    assert "tasks.chance.times" in setting_paths()
    settings = resolve([{"tasks.chance.times": 2}], "--set").of("chance")
    assert settings == ChanceConfig(times=2)
    assert resolve([], "--set").of("chance") == ChanceConfig()
    options = task("chance").options_of(settings)
    assert options == {"times": 2, "version": "3"}
    assert task("chance").settings_of(options) == settings
    with pytest.raises(ValueError, match="version 2 of the task 'chance' is required, but ve"):
        task("chance").settings_of({**options, "version": "2"})
    with pytest.raises(ValueError, match="version None of the task"):
        task("chance").settings_of({"times": 2})


def test_built_in_tasks_have_no_version_in_their_key():
    for each in TASKS.values():
        assert "version" not in each.options_of(each.settings())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks.chance.time": 1}, "tasks: task 'chance': unknown key 'time': did you mean 'times"),
        ({"tasks.chance.times": 0}, "tasks: task 'chance': times: Input should be greater than"),
        ({"tasks.chanc.times": 1}, "tasks: unknown task 'chanc': did you mean 'chance'?"),
        ({"tasks.linear.epochs": 1}, "tasks: task 'linear' is built in: its settings are linear."),
        ({"chance.times": 1}, "unknown key 'chance': did you mean 'tasks.chance'?"),
        ({"tasks": 3}, "tasks: Input should be a valid dictionary"),
    ],
)
def test_a_wrong_setting_names_the_nearest(changes: dict[str, object], message: str):
    skelcon.register_task("chance", version=1)(chance())
    with pytest.raises(UserError) as caught:
        resolve([changes], "--set")
    assert str(caught.value).startswith(f"--set: {message}")
    assert "\n" not in str(caught.value)


class Required(Config):
    times: int


class Versioned(Config):
    version: int = 1


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"start": Task.start}, "start"),
        ({"settings": dict}, "settings: give a subclass of skelcon.config.Config"),
        ({"settings": Required}, "times: every setting needs a valid default"),
        ({"settings": Versioned}, "version: no setting may have this name"),
        ({"metrics": ()}, r"metrics: name the numbers of its result, such as \('top1',\)"),
        ({"metrics": "top1"}, "metrics: name the numbers"),
        ({"metrics": ("top1", "parameters")}, "metrics: name the numbers"),
        ({"values": ("top2",)}, "values: there is no 'top2'"),
        ({"scales": ("epochs",)}, "scales: there is no 'epochs'"),
    ],
)
def test_a_class_that_is_no_task_is_refused(attributes: dict[str, object], message: str):
    with pytest.raises(UserError, match=f"^task 'chance': .*{message}"):
        skelcon.register_task("chance", version=1)(chance(**attributes))
    assert "chance" not in TASKS


def test_names_are_those_of_nothing_else():
    for name in ("linear", "pretrain", "tasks", "A task"):
        with pytest.raises(UserError, match=f"task '{name}'"):
            skelcon.register_task(name, version=1)(chance())
    with pytest.raises(UserError, match=r"a subclass of skelcon\.downstream\.Task"):
        skelcon.register_task("chance", version=1)(lambda inputs: None)
    skelcon.register_task("chance", version=1)(chance())
    skelcon.register_task("chance", version=2)(chance())  # a notebook cell that is run again
    assert task("chance").version == "2"
    with pytest.raises(UserError, match="unknown task 'chanse': did you mean 'chance'"):
        task("chanse")
