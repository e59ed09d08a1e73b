"""A RayJob for Kubernetes with KubeRay: a cluster that is made for one study and goes with it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

SHARED = "/shared"


@dataclass(frozen=True)
class Pods:
    """What the study's pods are.

    Attributes:
        image: has skelcon installed.
        ray: the version of Ray in it.
        claim: name of a PersistentVolumeClaim that many pods may write.
        nodes: how many workers.
        cpus, gpus, memory: of a worker; memory as Kubernetes writes it.
    """

    image: str
    ray: str
    claim: str
    nodes: int
    cpus: int
    gpus: int
    memory: str


def job_file(pods: Pods, name: str, words: Sequence[str]) -> str:
    """The manifest.

    Args:
        pods: what they are.
        name: of the job, as Kubernetes takes names.
        words: the study's command.
    """
    # KubeRay puts it unquoted behind `ray job submit --`: an operator of the shell would end that.
    study = ["skelcon-ablate", *words, "--address", "auto", "--yes"]
    command = shlex.join(["env", "-C", SHARED, *study])
    gpu = f', nvidia.com/gpu: "{pods.gpus}"' if pods.gpus else ""
    asked = f'{{cpu: "{pods.cpus}", memory: {json.dumps(pods.memory)}{gpu}}}'
    return f"""# One study on a Ray cluster of its own, by KubeRay (1.5.1 or newer):
#   kubectl apply -f rayjob.yaml
#   kubectl logs -f job/{name}
#   kubectl delete -f rayjob.yaml
# When its cluster is lost, another is made and the study goes on. After a deletion: apply it again.
#
# The image has skelcon and the same Ray and Python everywhere; in skelcon's sources:
#   FROM rayproject/ray:{pods.ray}-py311
#   COPY . skelcon
#   RUN pip install ./skelcon
#
# Shared: the claim '{pods.claim}' (access mode ReadWriteMany) is {SHARED} in all pods. Relative
#   paths of the command are below it. Data on it is read there; other data is sent to each once.
# Open: Ray listens on the pods' addresses inside the Kubernetes cluster, to whoever brings the
#   token that KubeRay makes (a Secret). The service of the head is not reachable from outside.
apiVersion: ray.io/v1
kind: RayJob
metadata:
  name: {name}
spec:
  entrypoint: {json.dumps(command)}
  shutdownAfterJobFinishes: true
  backoffLimit: 3
  rayClusterSpec:
    rayVersion: {json.dumps(pods.ray)}
    authOptions:
      mode: token
    headGroupSpec:
      rayStartParams:
        num-cpus: "0"         # the head runs the study's driver and no trials
      template:
        spec:
          containers:
            - name: ray-head
              image: {json.dumps(pods.image)}
              resources:
                requests: {{cpu: "2", memory: 8Gi}}
                limits: {{cpu: "2", memory: 8Gi}}
              volumeMounts:
                - {{name: shared, mountPath: {SHARED}}}
          volumes:
            - name: shared
              persistentVolumeClaim: {{claimName: {json.dumps(pods.claim)}}}
    workerGroupSpecs:
      - groupName: trials
        replicas: {pods.nodes}
        minReplicas: {pods.nodes}
        maxReplicas: {pods.nodes}
        rayStartParams: {{}}
        template:
          spec:
            containers:
              - name: ray-worker
                image: {json.dumps(pods.image)}
                resources:
                  requests: {asked}
                  limits: {asked}
                volumeMounts:
                  - {{name: shared, mountPath: {SHARED}}}
            volumes:
              - name: shared
                persistentVolumeClaim: {{claimName: {json.dumps(pods.claim)}}}
"""
