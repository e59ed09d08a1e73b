"""Presets: the scale and the recipe of a run, by name or in a YAML file of the user.

extends: small                                  another preset, by name, or a file beside this one
chosen: by cross-validation on my data          how its values were chosen: a note under each table
pretrain: {epochs: 60, encoders.frames: 32}     settings, as ``--set`` names them
by_data:                                        settings for a data set, by its name
  ntu120: {pretrain.epochs: 351}
by_representations:                             settings for what is pre-trained together
  img+seq: {pretrain.epochs: 300}

Settings for a data set override the general ones, and settings for representations override both;
then come the settings of a study and of the user. Units' keys and tables' provenance hold a file's
content, not its name.
"""

from skelcon.presets.names import DataNames, canonical_data
from skelcon.presets.reading import PRESETS, Preset
from skelcon.presets.resolving import (
    default_preset,
    preset,
    preset_layers,
    preset_tree,
    resolve_with_preset,
)

__all__ = [
    "PRESETS",
    "DataNames",
    "Preset",
    "canonical_data",
    "default_preset",
    "preset",
    "preset_layers",
    "preset_tree",
    "resolve_with_preset",
]
