"""The ranks of a pre-training: each trains the cases of test_distributed.py and saves what it has.

    train_shard.py WORLD_SIZE RENDEZVOUS DATA OUT

Of each case: a step in double precision, the losses of its epochs, and its state after
the first epoch and at the end; and the same, resumed from the states in OUT/single.pt.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skelcon.augment import FURTHER, evaluation_view
from skelcon.data import ClipBank, SkeletonDataset
from skelcon.encoders import Encoder
from skelcon.pretrain import PretrainConfig, Pretraining
from skelcon.pretrain.distributed import ProcessGroup, process_group, synchronised

SGD = {"name": "sgd", "lr": 0.02, "milestones": (1,)}
CLIPS = 24
TREE: dict[str, Any] = {
    "encoders": {
        "img": {"channels": 4, "cooccurrence": 16, "dropout": 0.0},
        "stg": {"channels": (8, 8), "strides": (1, 2)},
        "seq": {"hidden": 8, "layers": 2, "input_norm": True},
        "frames": 16,
    },
    "contrast": {"dim": 8, "head_hidden": 8, "queue": 20, "momentum": 0.9},
    "optimiser": SGD,
    "epochs": 2,
    "batch": 6,
    "monitor": 1,
}
IMG = {"channels": 4, "cooccurrence": 16}
NORMS = {"batch_norm": True, "input_norm": True}
UNITS = {"channels": (8,), "strides": (2,)}
CUSTOM = {
    "img": {"encoder": "stgcn", "options": UNITS},
    "stg": {"encoder": "ctrgcn", "options": UNITS},
}
TOKENS = {"encoder": "transformer", "options": {"dim": 8, "depth": 1, "heads": 2}}
CASES: dict[str, dict[str, Any]] = {
    "seq": {"representations": ("seq",), "optimiser": {"name": "adamw", "lr": 0.001}},
    "img with norms and dropout": {
        "representations": ("img",),
        "encoders": {**TREE["encoders"], "img": {**IMG, "dropout": 0.5, **NORMS}},
    },
    "stg and seq": {"representations": ("stg", "seq")},
    "ST-GCN with dropout and CTR-GCN": {
        "representations": ("img", "stg"),
        "encoders": {**TREE["encoders"], "custom": CUSTOM},
        "augment": {"use": ("crop", *FURTHER)},
    },
    "simclr": {
        "representations": ("stg", "seq"),
        "objective": {"name": "simclr", "options": {"dim": 8, "hidden": 8, "temperature": 0.5}},
    },
    "byol": {"objective": {"name": "byol", "options": {"dim": 8, "hidden": 8, "momentum": 0.9}}},
    "masked motion of tokens": {
        "representations": ("stg",),
        "encoders": {**TREE["encoders"], "custom": {"stg": TOKENS}},
        "objective": {"name": "masked", "options": {"depth": 1}},
    },
    "cmd": {"representations": ("stg", "seq"), "objective": {"name": "cmd"}},
    "further views": {
        "augment": {"use": ("crop",)},
        "views": {"query": {"use": ("crop", "flip")}, "extra": ({"use": ("crop", "jitter")},)},
        "contrast": {**TREE["contrast"], "extra": "distribution"},
    },
}


def started(bank: ClipBank, case: str, group: ProcessGroup) -> Pretraining:
    config = PretrainConfig.model_validate({**TREE, **CASES[case]})
    groups = np.arange(CLIPS) % 3
    return Pretraining(bank, np.arange(CLIPS), bank.layout, config, 0, group, groups)


def train(bank: ClipBank, group: ProcessGroup, earlier: dict[str, Any] | None) -> dict[str, Any]:
    """Case -> its losses and states; resumed from the states in ``earlier`` if given."""
    found = {}
    for case in CASES:
        training = started(bank, case, group)
        losses, diagnosis, half = [], [], None
        if earlier is not None:
            training.load_state_dict(earlier[case]["half"])
        while not training.done:
            metrics = training.run_epoch()
            losses.append((metrics.loss, metrics.top1 or 0.0))
            diagnosis.append((metrics.alignment, metrics.effective_rank, metrics.nn_top1))
            if training.epoch == 1:
                half = copied(training.state_dict())
        end = copied(training.state_dict())
        found[case] = {"losses": losses, "diagnosis": diagnosis, "half": half, "end": end}
    return found


def exact(bank: ClipBank, group: ProcessGroup) -> dict[str, Any]:
    """Case -> features, gradients and statistics of a step in double precision."""
    found = {}
    for case, changes in CASES.items():
        config = PretrainConfig.model_validate({**TREE, **changes})
        view = evaluation_view(bank, torch.arange(CLIPS), 0.95, config.encoders.frames).double()
        torch.manual_seed(0)
        encoder = Encoder(config.representations[0], config.encoders, bank.layout, bank.num_bodies)
        synchronised(encoder.double(), group)
        features = encoder(group.shard(view))
        aims = torch.rand(CLIPS, features.shape[1], dtype=torch.float64)
        (features - group.shard(aims)).square().mean().backward()
        gradients = [p.grad for p in encoder.parameters() if p.grad is not None]
        group.all_reduce_mean(gradients)
        found[case] = {
            "features": group.all_gather(features.detach()),
            "gradients": gradients,
            "state": encoder.state_dict(),
        }
    return found


def copied(state: Any) -> Any:
    """A state that further training does not change."""
    if isinstance(state, torch.Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    return [copied(each) for each in state] if isinstance(state, list) else state


def run(group: ProcessGroup, rendezvous: Path, data: Path, out: Path) -> None:
    """What one rank does."""
    torch.set_num_threads(1)
    bank = ClipBank(SkeletonDataset.open(data))
    earlier = torch.load(out / "single.pt", weights_only=True)
    place = out / f"{group.world_size}-{group.rank}"
    with process_group(group, rendezvous, bank.device):
        torch.save(exact(bank, group), f"{place}-exact.pt")
        torch.save(train(bank, group, None), f"{place}.pt")
        torch.save(train(bank, group, earlier), f"{place}-resumed.pt")


def main() -> None:
    """Fork the ranks: what takes longest, torch and what its optimisers import, is there once."""
    importlib.import_module("torch._dynamo")
    size, places = int(sys.argv[1]), map(Path, sys.argv[2:])
    rendezvous, data, out = places
    ranks = []
    for rank in range(size):
        if not (process := os.fork()):
            return run(ProcessGroup(rank, size), rendezvous, data, out)
        ranks.append(process)
    sys.exit(any(os.waitpid(rank, 0)[1] for rank in ranks))


if __name__ == "__main__":
    main()
