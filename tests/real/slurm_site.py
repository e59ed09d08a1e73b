"""A SLURM of one node in this process's name spaces, and jobs of the printed templates on it.

    unshare --pid --net --mount-proc --fork --kill-child \\
        python slurm_site.py PLACE DATA STUDY array|ray

Runs the template's script by sbatch, sends it SLURM's signal while it trains, lets it return to the
queue and end. Prints a JSON object. The name spaces keep `ray stop` from other Rays of this
machine, and all ports on a loopback of their own.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

LONG = "pretrain.epochs=400"
"""Enough that a job can be signalled while it trains."""

CONFIG = """
ClusterName=here
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={place}/munge.socket,cred_expire=3
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1
ReturnToService=2
MpiDefault=none
NodeName=localhost NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def said(*words: object) -> str:
    """What a command prints; an error with its words if it fails."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(map(str, words))}: {done.stderr or done.stdout}")
    return done.stdout


def until(what: str, ready: Callable[[], object], seconds: float, place: Path) -> None:
    """Wait; an error with the ends of all logs after so many seconds."""
    give_up = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > give_up:
            logs = [f"{log}:\n{log.read_text()[-1500:]}" for log in place.glob("*.log")]
            raise RuntimeError("\n".join([f"{what}: not after {seconds:g} s", *logs]))
        time.sleep(0.3)


def start(place: Path) -> None:
    """munge, slurmctld and slurmd, with files of their own; the name space's end is theirs."""
    place.chmod(0o755)
    said("ip", "link", "set", "lo", "up")
    # SLURM asks for any address, and is given none where loopback is all there is.
    said("ip", "link", "add", "any0", "type", "veth", "peer", "name", "any1")
    said("ip", "address", "add", "10.254.254.1/30", "dev", "any0")
    said("ip", "link", "set", "any0", "up")
    for name in ("state", "spool"):
        (place / name).mkdir()
    (place / "slurm.conf").write_text(
        CONFIG.format(place=place, host=socket.gethostname(), cpus=os.cpu_count())
    )
    os.environ["SLURM_CONF"] = str(place / "slurm.conf")
    (place / "munge.key").write_bytes(secrets.token_bytes(128))
    (place / "munge.key").chmod(0o600)
    files = [f"--{name}-file={place}/munge.{name}" for name in ("key", "seed", "pid", "log")]
    said("munged", "--force", f"--socket={place}/munge.socket", *files)
    for daemon in ("slurmctld", "slurmd"):
        more = ["-N", "localhost"] if daemon == "slurmd" else []
        with (place / f"{daemon}.out.log").open("wb") as log:
            subprocess.Popen([daemon, "-D", *more], stdout=log, stderr=log)
    until("an idle node", lambda: "idle" in _quiet("sinfo", "-h", "-o", "%t"), 60, place)


def _quiet(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def submit(place: Path, kind: str, study: list[str]) -> str:
    """Print the template, hand it to sbatch; the job's number."""
    options = ["--time", "10"]
    options += ["--array"] if kind == "array" else ["--nodes", "1", "--cpus-per-node", "2"]
    (place / "skelcon-ablate").write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from ablation.cli import main; main()' \"$@\"\n"
    )
    (place / "skelcon-ablate").chmod(0o755)
    # Ray's commands, and Python itself, lie beside this Python or where its packages are.
    import ray

    scripts = Path(ray.__file__).parents[4] / "bin"
    path = f"{place}:{Path(sys.executable).parent}:{scripts}"
    words = "cluster", "slurm", *options, "--setup", f"export PATH='{path}':$PATH", *study
    script = said(place / "skelcon-ablate", *words)
    (place / "job.sh").write_text(script)
    return said("sbatch", "--parsable", place / "job.sh").strip()


def main() -> None:
    """The command line."""
    place, data, file, kind = Path(sys.argv[1]), *sys.argv[2:5]
    results = place / "results"
    start(place)
    os.chdir(place)
    study = ["run", file, "--data", data, "--only", "none", "--set", LONG]
    study += ["--results", str(results)]
    job = submit(place, kind, study)
    until("a checkpoint", lambda: list(results.glob("units/*/checkpoint.pt")), 300, place)
    # As SLURM does before the time limit: to a job's steps, or to its shell alone (B:).
    said("scancel", *(["--signal=TERM"] if kind == "array" else ["--signal=USR1", "--batch"]), job)
    seen: set[str] = set()

    def ended() -> bool:
        states = set(_quiet("squeue", "-h", "-a", "-o", "%T").split())
        seen.update(states)
        return not states

    until("the end of all jobs", ended, 600, place)
    texts = [path.read_text() for path in sorted(results.glob("units/*/log.txt"))]
    done = {
        "states": sorted(seen),
        "units": len(list(results.glob("units/*/DONE"))),
        "resumed": sum("resumed at epoch" in text for text in texts),
        "table": (results / "tiny" / "table.csv").exists(),
        "log": "".join(path.read_text()[-2000:] for path in sorted(place.glob("*-*.log"))),
    }
    print(json.dumps(done))


if __name__ == "__main__":
    main()
