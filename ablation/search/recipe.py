"""The best settings of a search as a preset file, for every command that takes ``--preset``."""

from __future__ import annotations

import yaml

from ablation.search.problem import SearchProblem
from ablation.search.record import Trial
from ablation.text import and_joined
from skelcon.config import Json, flat
from skelcon.presets import PRESETS
from skelcon.pretrain import PretrainConfig
from skelcon.settings import merge

PRESET = "preset.yaml"
REPRESENTATIONS = "pretrain.representations"


def settings_of(problem: SearchProblem, trial: Trial) -> Json:
    """Key path -> value, of all settings of a trial after the preset's."""
    tree: Json = {}
    for values in (problem.space.base, problem.changes(trial.parameters), problem.overrides):
        merge(tree, values)
    return flat(tree)


def preset_yaml(problem: SearchProblem, best: Trial, head: list[str]) -> str:
    """The text of the file; ``head`` is its comment.

    The settings apply only to the representations that the search has pre-trained; others keep
    the settings of the preset that the file extends. The content of a user's own preset file is
    copied, so that this file needs no other.
    """
    settings = settings_of(problem, best)
    settings.pop(REPRESENTATIONS, None)
    pretrain = problem.settings(problem.changes(best.parameters)).pretrain
    trained = pretrain.representations
    preset, base = Json(), problem.preset.base
    if extends := problem.preset.name if problem.preset.name in PRESETS else base:
        preset["extends"] = extends
    merge(preset, problem.preset.changes)
    preset["chosen"] = _chosen(problem, pretrain)
    special = preset.setdefault("by_representations", {})
    own: Json = {}
    merge(own, special.get("+".join(trained), {}))
    merge(own, settings)
    special["+".join(trained)] = flat(own)
    comment = "".join(f"# {line}".rstrip() + "\n" for line in head)
    return f"{comment}\n{yaml.safe_dump(preset, sort_keys=False)}"


def _chosen(problem: SearchProblem, best: PretrainConfig) -> str:
    """What a table made with the preset says of it: on which of its rows it was chosen."""
    text = (
        f"by a search ({problem.space.title}) with cross-validation over the training side of "
        f"{problem.dataset.name}, {problem.protocol}, for {'+'.join(best.representations)} with "
        f"{_augmentations(best)}; no other row had a search of its own"
    )
    before = problem.preset.chosen
    return f"{text}; before that {before}" if before else text


def _augmentations(best: PretrainConfig) -> str:
    """``crop, pose``; of views that differ ``crop+pose (query) and crop (key)``."""
    uses = [policy.use for policy in best.policies]
    if len(set(uses)) == 1:
        return ", ".join(uses[0]) or "no augmentation"
    names = ("query", "key", *(f"extra view {number}" for number in range(1, len(uses) - 1)))
    each = zip(uses, names, strict=True)
    return and_joined([f"{'+'.join(use) or 'no augmentation'} ({name})" for use, name in each])
