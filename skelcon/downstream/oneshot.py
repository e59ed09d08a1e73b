"""The exemplars of one-shot recognition: the one clip from which a class is known."""

from __future__ import annotations

import torch
from torch import Tensor

from skelcon.data.importers.ntu_facts import EXEMPLARS
from skelcon.downstream.inputs import Inputs
from skelcon.seeding import generator


def exemplars(inputs: Inputs, classes: int | None) -> tuple[Tensor, Tensor]:
    """An exemplar of each class, and the clips that are compared with them.

    The exemplar of a class with training clips is drawn from them. Of a class without, it is the
    official one of NTU RGB+D 120 if that is among the test clips, and otherwise drawn from the test
    clips; it is not tested then.

    Args:
        inputs: the clips of both sides.
        classes: how many of the test side's classes take part, evenly spaced from the first; all
            if None.

    Returns:
        (K,) clips, one a class, and (n,) clips of the test side, in file order.
    """
    labels, draws = inputs.bank.labels, generator(inputs.seed, "oneshot")
    known = labels[inputs.test].unique()
    if classes is not None and classes < len(known):
        known = known[torch.arange(classes, device=known.device) * len(known) // classes]
    official = [clip for clip in inputs.test.tolist() if inputs.bank.names[clip] in EXEMPLARS]
    chosen = []
    for label in known.tolist():
        training, tested = (
            clips[labels[clips] == label].cpu() for clips in (inputs.train, inputs.test)
        )
        named = [clip for clip in official if int(labels[clip]) == label]
        drawn = training if len(training) else tested
        at = int(torch.randint(len(drawn), (1,), generator=draws))
        chosen.append(named[0] if named and not len(training) else int(drawn[at]))
    found = torch.tensor(chosen, device=inputs.test.device)
    compared = torch.isin(labels[inputs.test], known) & ~torch.isin(inputs.test, found)
    if not bool(compared.any()):
        raise ValueError("no test clip is left to be compared with the exemplars")
    return found, inputs.test[compared]
