"""A RayJob for Kubernetes with KubeRay: a Ray cluster that lives as long as one study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ablation.templates.render import Template


@dataclass(frozen=True)
class JobFile(Template):
    """The manifest.

    Attributes:
        name: of the job, as Kubernetes takes names.
        image: has skelcon installed.
        ray: the version of Ray in it.
        claim: name of a PersistentVolumeClaim that many pods may write.
        nodes: how many workers.
        cpus: of a worker.
        gpus: of a worker.
        memory: of a worker, as Kubernetes writes it.
        shared: where the claim is mounted.
    """

    file: ClassVar[str] = "kuberay.yaml.j2"
    name: str
    image: str
    ray: str
    claim: str
    nodes: int
    cpus: int
    gpus: int
    memory: str
    shared: str = "/shared"
