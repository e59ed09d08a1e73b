"""A pre-training's rank other than 0: ``python -m ablation.work.crew_member``, told by its input.

The first line says what to train; then each line ``epoch`` is an epoch, and ``end`` the end. When
the input is closed its rank 0 has died, and this process ends as well, whatever it does.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import torch

from ablation.units import PretrainUnit, read_unit
from ablation.work.crew import ABANDONED
from ablation.work.kinds import bank_of, pretraining_of
from ablation.work.process import prepare
from skelcon.plugins import load_plugins
from skelcon.pretrain.distributed import Team, joined


def main() -> None:
    """Train as told until the end."""
    for sent in (signal.SIGINT, signal.SIGTERM):  # to the whole group: rank 0 knows what to do
        signal.signal(sent, signal.SIG_IGN)
    words: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(words,), daemon=True).start()
    job = json.loads(words.get())
    try:
        _train(job, words)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or not re.search(
            "gloo|nccl|connection|timed out", str(error), re.IGNORECASE
        ):
            raise
        sys.exit(ABANDONED)


def _listen(words: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        words.put(line.strip())
    os._exit(ABANDONED)


def _train(job: dict[str, Any], words: queue.SimpleQueue[str]) -> None:
    prepare(job["threads"])
    device = torch.device(job["device"])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    load_plugins(job["plugins"], Path(job["directory"]))
    team, place = Team(job["rank"], job["size"]), Path(job["place"])
    unit = read_unit(job["config"])
    assert isinstance(unit, PretrainUnit)
    dataset, bank = bank_of(unit.side, Path(job["data"]), str(device))
    training = pretraining_of(unit, dataset, bank, team)
    if job["checkpoint"] is not None:
        state = torch.load(job["checkpoint"], map_location=device, weights_only=True)
        training.load_state_dict(state["training"])
    if training.epoch != job["epoch"]:
        raise RuntimeError(f"the checkpoint is of epoch {training.epoch}, not {job['epoch']}")
    (place / f"{team.rank}.ready").touch()
    with joined(team, place / "meeting", device, job["answer"]):
        while words.get() == "epoch":
            training.run_epoch()


if __name__ == "__main__":
    main()
