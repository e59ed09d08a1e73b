"""Cluster files for Ray's launcher, ``ray up``: machines of Amazon's cloud, or your own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ablation.templates.render import Template


@dataclass(frozen=True)
class CloudFile(Template):
    """Machines of Amazon's cloud, which ``ray up`` rents.

    Attributes:
        region: where they are rented.
        instance: the type of the workers.
        nodes: how many workers.
        sources: directory of skelcon's sources on this machine, which is copied to them.
        nfs: ``HOST:/PATH`` of the file system (an EFS) for the results; None if they go to a URI.
        shared: where that file system is mounted.
    """

    file: ClassVar[str] = "ray-up-cloud.yaml.j2"
    region: str
    instance: str
    nodes: int
    sources: str
    nfs: str | None
    shared: str = "/shared"


@dataclass(frozen=True)
class HostsFile(Template):
    """Your own machines, reached by SSH.

    Attributes:
        head: the machine that runs Ray's head and the study's driver.
        workers: the others.
        user: who logs in.
        setup: a line of shell that makes skelcon's command available on each; empty for none.
    """

    file: ClassVar[str] = "ray-up-hosts.yaml.j2"
    head: str
    workers: Sequence[str]
    user: str
    setup: str
