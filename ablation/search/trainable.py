"""A trial of a search as a Ray Tune trainable: the worker's side of scheduling."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import torch
from ray import tune

from ablation.runner.delivery import data_at
from ablation.search.record import Record
from ablation.search.trial import CHECKPOINT, MemberTrial, UnitTrial
from ablation.store import Store
from ablation.work import cap_memory, prepare, reason_of, record_failure
from skelcon.plugins import load_plugins


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """Works from one evaluation of a trial to the next, one trial after another.

    ``config``: ``trial`` (as JSON: its number, parameters, the configurations of its two units and
    the epoch that it has reported), ``search`` (the search's directory), ``population`` (whether
    PBT may change it), ``every``, ``metric``, ``results``, ``data`` (its fingerprint -> path) and
    the ``node`` to fetch it from where that is not seen, ``plugins``, ``directory`` (to look for
    these), ``gpu`` and ``threads``.
    """

    _run: UnitTrial | MemberTrial | None = None
    _state: dict[str, Any] | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Called once per worker; the trial itself begins with the first step."""
        prepare(config["threads"])
        self._device = "cuda" if config["gpu"] and torch.cuda.is_available() else "cpu"
        if self._device == "cuda":
            cap_memory(config["gpu"])
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another trial in this process, or the same with other parameters."""
        self.cleanup()
        self._settings, self._state = new_config, None
        self._trial = json.loads(new_config["trial"])
        return True

    def step(self) -> dict[str, Any]:
        """Go on to the next evaluation, and write it to the record."""
        settings, trial = self._settings, self._trial
        record = Record(Path(settings["search"]))
        number = trial["number"]
        try:
            if self._run is None:
                load_plugins(settings["plugins"], Path(settings["directory"]))
                self._run = self._begun()
            report = self._run.step()
        except FloatingPointError as error:
            # Such parameters are an answer, not an accident: the search goes on and avoids them.
            self._note_failure(error)
            self.cleanup()
            record.ended(number, "diverged", str(error))
            return {"number": number, "done": True, "diverged": True}
        except Exception as error:
            self._note_failure(error)
            record.ended(number, "failed", reason_of(error).removeprefix("failed: "))
            raise
        record.reported(number, report, trial["parameters"])
        done = report.epoch >= self._run.epochs
        if done:
            record.ended(number, "completed")
            self.cleanup()
        return {"number": number, "epoch": report.epoch, "value": report.value, "done": done}

    def _begun(self) -> UnitTrial | MemberTrial:
        settings, trial = self._settings, self._trial
        ((fingerprint, path),) = settings["data"].items()
        data = data_at(fingerprint, Path(path), settings["node"])
        if settings["population"]:
            return MemberTrial(
                trial["pretraining"],
                trial["evaluation"],
                settings["every"],
                settings["metric"],
                member_directory(Path(settings["search"]), trial["number"]),
                data,
                self._device,
                self._state,
            )
        return UnitTrial(
            trial["pretraining"],
            trial["evaluation"],
            settings["every"],
            settings["metric"],
            trial["reported"],
            Store(Path(settings["results"])),
            data,
            self._device,
        )

    def _note_failure(self, error: Exception) -> None:
        if not self._settings["population"]:
            store = Store(Path(self._settings["results"]))
            if not store.is_done(self._trial["units"][0]):
                record_failure(store, self._trial["units"][0], error)

    def cleanup(self) -> None:
        """Let go of the trial."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Hand a member's state over to Tune; a unit's directory holds its own."""
        if isinstance(self._run, MemberTrial):
            torch.save(self._run.training.state_dict(), Path(checkpoint_dir) / CHECKPOINT)

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Take over the state of a member, this one's or another's."""
        path = Path(checkpoint) / CHECKPOINT
        if path.exists():
            with contextlib.closing(path.open("rb")) as file:
                self._state = torch.load(file, map_location=self._device, weights_only=True)
            self.cleanup()


def member_directory(search: Path, number: int) -> Path:
    """Where a member of a population keeps its checkpoint."""
    return search / "trials" / f"{number:04d}"
