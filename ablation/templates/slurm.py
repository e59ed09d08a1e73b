"""Scripts for ``sbatch``: a study on Ray over several nodes, or as an array of jobs without Ray."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ablation.plan import Unit

MAX_JOBS = 1000
"""SLURM's own limit of an array is 1001 unless its administrator has set another."""


@dataclass(frozen=True)
class Job:
    """What every script asks of SLURM.

    Attributes:
        name: of the job and its log.
        time: limit, as SLURM writes it.
        directory: where the command runs, seen by all nodes.
        partition, account: if any.
        setup: a line of shell that makes the command available on a node; empty for none.
    """

    name: str
    time: str
    directory: str
    partition: str | None = None
    account: str | None = None
    setup: str = ""

    def directives(self, *more: str) -> str:
        """Its ``#SBATCH`` lines, and ``more`` of them."""
        lines = [f"--job-name={self.name}", *more, f"--time={shlex.quote(self.time)}"]
        lines += [f"--partition={shlex.quote(self.partition)}"] if self.partition else []
        lines += [f"--account={shlex.quote(self.account)}"] if self.account else []
        lines += [f"--chdir={shlex.quote(self.directory)}"]
        return "\n".join(f"#SBATCH {line}" for line in lines)


def ray_script(job: Job, words: Sequence[str], nodes: int, cpus: int, gpus: int) -> str:
    """The script of a study that runs with Ray on all nodes of one job.

    Args:
        job: what is asked of SLURM.
        words: the study's command.
        nodes: how many.
        cpus: of a node.
        gpus: of a node.
    """
    asked = [f"--nodes={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={cpus}"]
    asked += [f"--gpus-per-node={gpus}"] if gpus else []
    asked += ["--exclusive", f"--output={job.name}-%j.log"]
    command = shlex.join(["skelcon-ablate", *words, "--address", "auto", "--yes"])
    return f"""#!/bin/bash
# One study on all nodes of a job: Ray starts on each, the study's driver runs on the first, and Ray
# is stopped everywhere when it ends. Submit it with sbatch. When it was killed, or ran out of time,
# submit it again: it goes on from the last checkpoints.
#
# Shared: --results has to be on a file system that all nodes mount in the same place. Data on such
#   a path is read there; other data is sent to each node once.
# Open: Ray listens on the nodes' own addresses, on port 6379 of the first and on ports of its
#   choice, to whoever brings the token that is made below. What is sent is not encrypted.
# Exclusive: 'ray symmetric-run' ends with 'ray stop', which ends all of your Ray on its node.
{job.directives(*asked)}
set -eo pipefail
{job.setup}

export RAY_AUTH_MODE=token RAY_TMPDIR="/tmp/ray-$(id -un)"
RAY_AUTH_TOKEN=$(python3 -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --cpus-per-task={cpus} \\
    ray symmetric-run --address "$first:6379" --min-nodes "$SLURM_JOB_NUM_NODES" \\
    --num-cpus {cpus} --num-gpus {gpus} -- \\
    {command}
"""


def array_script(
    job: Job, words: Sequence[str], groups: Sequence[str], at_once: int | None, cpus: int, gpus: int
) -> str:
    """The script of an array of independent jobs, none of which uses Ray.

    Args:
        job: what is asked of SLURM.
        words: the study's command.
        groups: what each job does: keys of units with commas between them.
        at_once: at most so many jobs at a time.
        cpus: of a job.
        gpus: of a job.
    """
    limit = f"%{at_once}" if at_once else ""
    asked = [f"--array=0-{len(groups) - 1}{limit}", "--ntasks=1", f"--cpus-per-task={cpus}"]
    asked += [f"--gpus-per-task={gpus}"] if gpus else []
    asked += [f"--output={job.name}-%A-%a.log"]
    keys = "\n".join(f"    {group}" for group in groups)
    return f"""#!/bin/bash
# One study as {len(groups)} independent jobs, without Ray: each does the evaluations of one set of
# pre-trainings, and these before them, unless another job has done them or is at it. Submit it with
# sbatch. When some were killed, or ran out of time, submit it again: each goes on from its last
# checkpoint, and what is done is not run again. When all are done, the table is made by
#   {shlex.join(["skelcon-ablate", *words])}
#
# Shared: --results, --data and the directory below have to be on a file system that all nodes mount
#   in the same place. Nothing listens on any port.
{job.directives(*asked)}
set -eo pipefail
{job.setup}

keys=(
{keys}
)
srun --cpus-per-task={cpus} skelcon-ablate unit "${{keys[$SLURM_ARRAY_TASK_ID]}}" \\
    {shlex.join(words)}
"""


def jobs_of(missing: Iterable[Unit]) -> list[str]:
    """What each job of an array does: the evaluations that need the same, with commas.

    A job runs what its units need as well, so pre-trainings that something needs are not listed.

    Args:
        missing: the units that are not done.
    """
    missing = list(missing)
    needed = {key for unit in missing for key in unit.needs}
    together: dict[tuple[str, ...], list[str]] = {}
    for unit in missing:
        if unit.key not in needed:
            together.setdefault(unit.needs, []).append(unit.key)
    groups = [",".join(keys) for keys in together.values()]
    size = math.ceil(len(groups) / MAX_JOBS)
    return [",".join(groups[at : at + size]) for at in range(0, len(groups), max(1, size))]
