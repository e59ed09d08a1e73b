"""A cluster file for Ray's launcher, ``ray up``: machines of Amazon's cloud, or your own."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

SHARED = "/shared"
"""Where a file system that is mounted by the template is."""
_AT_A_URI = """
# Shared: nothing but the URI of --results, which all nodes have to be let to read and write (by
#   a role of the machines, or credentials that you bring). Paths of the study's command are those
#   of the head; data is sent to each node once."""


@dataclass(frozen=True)
class Cloud:
    """Machines of Amazon's cloud.

    Attributes:
        region: where they are rented.
        instance: what the workers are.
        nodes: how many workers.
        nfs: ``HOST:/PATH`` of the file system (an EFS) for the results; None if they go to a URI.
    """

    region: str
    instance: str
    nodes: int
    nfs: str | None


def cloud_file(cloud: Cloud, source: str, words: Sequence[str]) -> str:
    """The cluster file for machines that are rented when it is used.

    Args:
        cloud: which machines.
        source: directory of skelcon's sources here, which is copied to them.
        words: the study's command.
    """
    setup = ["pip install -q ~/skelcon"]
    place, shared = "", _AT_A_URI
    if cloud.nfs is not None:
        place = f"cd {SHARED}"
        shared = f"""
# Shared: {cloud.nfs} is mounted as {SHARED} on all nodes (its security group has to let them in).
#   Paths of the study's command are those of the head, relative ones below {SHARED}. Results go
#   there; data on it is read there, other data is sent to each node once."""
        setup = [
            f"sudo mkdir -p {SHARED}",
            "sudo apt-get update -q && sudo apt-get install -qy nfs-common",
            f"mountpoint -q {SHARED} || sudo mount -t nfs4 {shlex.quote(cloud.nfs)} {SHARED}",
            f"sudo chown ubuntu {SHARED}",
            *setup,
        ]
    return f"""{_head(words, place, "rents machines until 'ray down' gives them back")}{shared}
# Open: Ray listens on the nodes' own addresses, to whoever brings the token; Ray's launcher makes a
#   security group that lets these nodes in, and SSH from anywhere. Nothing else is open outside.
cluster_name: skelcon
max_workers: {cloud.nodes}
provider:
  type: aws
  region: {json.dumps(cloud.region)}
auth:
  ssh_user: ubuntu
available_node_types:
  head:                       # runs the study's driver and no trials
    node_config: {{InstanceType: m5.large}}
    resources: {{CPU: 0, GPU: 0}}
    min_workers: 0
    max_workers: 0
  worker:
    node_config: {{InstanceType: {json.dumps(cloud.instance)}}}
    resources: {{}}             # Ray finds what such a machine has
    min_workers: {cloud.nodes}
    max_workers: {cloud.nodes}
head_node_type: head
file_mounts:
  /home/ubuntu/skelcon: {json.dumps(source)}
  /home/ubuntu/.ray/auth_token: ~/.ray/auth_token
rsync_exclude: ["**/.git", "**/.venv", "**/results"]
setup_commands:
{_lines(setup)}
{_STARTS}"""


def hosts_file(hosts: Sequence[str], user: str, setup: str, words: Sequence[str]) -> str:
    """The cluster file for machines that are there, reached by SSH.

    Args:
        hosts: the head, then the others.
        user: who logs in.
        setup: a line of shell that makes skelcon's command available on each; empty for none.
        words: the study's command.
    """
    head, *others = hosts
    return f"""{_head(words, setup, "starts Ray on your machines, 'ray down' stops it")}
# Shared: skelcon has to be installed on all machines, and --results on a file system that all mount
#   in the same place. Data on such a path is read there; other data is sent to each node once.
# Open: Ray listens on the machines' own addresses, to whoever brings the token. What is sent is not
#   encrypted.
cluster_name: skelcon
provider:
  type: local
  head_ip: {json.dumps(head)}
  worker_ips: {json.dumps(others)}
auth:
  ssh_user: {json.dumps(user)}
min_workers: {len(others)}
max_workers: {len(others)}
file_mounts:
  ~/.ray/auth_token: ~/.ray/auth_token
setup_commands:
{_lines([setup or "true"])}
{_starts(setup)}"""


def _head(words: Sequence[str], place: str, what: str) -> str:
    command = shlex.join(["skelcon-ablate", *words, "--address", "auto", "--yes"])
    run = f"export RAY_AUTH_MODE=token; {place + ' && ' if place else ''}{command}"
    return f"""# A cluster for one study, by Ray's own launcher; it {what}.
#   ray get-auth-token --generate                # once: the token that keeps others out
#   ray up -y cluster.yaml
#   ray exec cluster.yaml {shlex.quote(run)}
#   ray down -y cluster.yaml
# Of the study any part may be killed: the same 'ray exec' goes on.
#"""


def _lines(commands: Sequence[str]) -> str:
    return "\n".join(f"  - {json.dumps(command)}" for command in commands)


def _starts(setup: str) -> str:
    """How Ray is started on the head and on the others."""
    before = f"{setup}; " if setup else ""
    begin = f"{before}export RAY_AUTH_MODE=token; ulimit -n 65536; ray start"
    stop = _lines([f"{before}ray stop"])
    head = f"{begin} --head --port=6379 --autoscaling-config=~/ray_bootstrap_config.yaml"
    return f"""head_start_ray_commands:
{stop}
{_lines([head])}
worker_start_ray_commands:
{stop}
{_lines([f"{begin} --address=$RAY_HEAD_IP:6379"])}
"""


_STARTS = _starts("")
