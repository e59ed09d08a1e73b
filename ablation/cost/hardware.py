"""The hardware on which a unit ran, or will run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ablation.text import plural
from skelcon.config import Json


@dataclass(frozen=True)
class Hardware:
    """What the speed of a unit depends on: a GPU by its name, or a CPU by name and threads.

    Attributes:
        device: ``cpu`` or ``cuda``.
        name: None for a GPU that is not known, such as a cluster's.
        threads: torch threads, on a CPU.
        ranks: among how many GPUs a pre-training is divided.
    """

    device: str
    name: str | None
    threads: int = 0
    ranks: int = 1

    @classmethod
    def here(cls, *, gpu: bool, threads: int = 0) -> Hardware:
        """Of a trial on this machine."""
        from ablation.store.provenance import environment  # imports torch

        names = environment()["hardware"]
        return cls("cuda", names["gpu"]) if gpu else cls("cpu", names["cpu"], threads)

    @classmethod
    def of(cls, provenance: Json) -> Hardware:
        """Of a finished unit."""
        names = provenance["hardware"]
        if str(provenance["device"]).startswith("cuda"):
            return cls("cuda", names["gpu"], ranks=int(provenance.get("ranks", 1)))
        return cls("cpu", names["cpu"], int(provenance["threads"]))

    def __str__(self) -> str:
        if self.device == "cuda":
            name = self.name or "a GPU"
            return f"{self.ranks} x {name}" if self.ranks > 1 else name
        return f"{self.name}, {plural(self.threads, 'thread')}"


def torch_sees_a_gpu() -> bool:
    """Whether torch can use a GPU of this machine."""
    import torch

    return torch.cuda.is_available()


def trial_hardware(
    gpus_per_trial: float,
    cpus_per_trial: float,
    cuda: Callable[[], bool] = torch_sees_a_gpu,
) -> Hardware:
    """What a trial with these resources runs on, as far as this machine can tell."""
    if gpus_per_trial > 0:
        found = Hardware.here(gpu=True) if cuda() else Hardware("cuda", None)
        return replace(found, ranks=max(1, int(gpus_per_trial)))
    return Hardware.here(gpu=False, threads=max(1, int(cpus_per_trial)))
