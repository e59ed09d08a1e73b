"""The protocol ``oneshot`` of NTU RGB+D 120: 100 classes train, the 20 others are novel.

It is a plugin, because one more protocol changes the fingerprint of a data set::

    skelcon data import PATH/nturgb+d_skeletons ntu120-oneshot --plugin skelcon.data.oneshot

Which classes are novel is as in Liu et al. 2019 (NTU RGB+D 120). All their clips are on the test
side, the exemplars among them: none of these classes is pre-trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

from skelcon.data.dataset import ClipInfo
from skelcon.data.importers.ntu_facts import NOVEL, NTU120, dataset_name, ntu_info_or_none
from skelcon.data.protocols import PROTOCOL_PLUGINS
from skelcon.data.splits import TEST, TRAIN


def sides(infos: Sequence[ClipInfo]) -> list[int] | None:
    """Who trains and who tests; None if these are not the clips of NTU RGB+D 120."""
    known = [ntu_info_or_none(info.name) for info in infos]
    clips = [info for info in known if info is not None]
    if len(clips) < len(known) or dataset_name(clips) != NTU120:
        return None
    return [TEST if info.label + 1 in NOVEL else TRAIN for info in clips]


PROTOCOL_PLUGINS.register("oneshot", 1, sides)
