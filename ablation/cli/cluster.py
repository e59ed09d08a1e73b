"""``skelcon-ablate cluster``: templates that start a cluster and run a study on it."""

from __future__ import annotations

import getpass
import math
import re
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from ablation.cli.request import StudyRequest, command_words, read_request
from ablation.cli.units import check_without_ray
from ablation.templates import render
from skelcon.cli.flatten import group, option, with_options
from skelcon.cli.terminal import PlainConsole
from skelcon.errors import UserError

app = typer.Typer(
    help="Print a template that starts a cluster and runs a study on it.", no_args_is_help=True
)
STUDY_LAST = {"allow_interspersed_args": False}
SHARED = "/shared"
"""Where machines of a cloud, and pods, mount their shared file system."""


def _activation() -> str:
    """The line that activates the virtual environment of this command; empty outside of one."""
    activate = Path(sys.prefix) / "bin" / "activate"
    return f"source {shlex.quote(str(activate))}" if activate.exists() else ""


WORDS = "The study's command as you would run it, after the options of the template."
WordsArgument = Annotated[list[str], typer.Argument(metavar="STUDY [OPTIONS]", help=WORDS)]
SetupOption = Annotated[
    str,
    typer.Option(
        help="A shell command that makes skelcon-ablate available on a node.",
        default_factory=_activation,
        show_default="activates the virtual environment of this command",
    ),
]


@group("Nodes")
class NodeOptions:
    """How many machines."""

    nodes: int = option(2, "Nodes that run trials.", min=1)


@group("Nodes")
class NodeSizeOptions(NodeOptions):
    """How many machines, and what each of them has."""

    cpus_per_node: int = option(8, "CPU cores of a node.", min=1)
    gpus_per_node: int = option(0, "GPUs of a node.", min=0)

    def checked(self, request: StudyRequest) -> dict[str, int]:
        """The values of the template; :class:`UserError` if no node could start a trial."""
        trial = request.resources
        for name, wanted, has in (
            ("cpus", trial.cpus_per_trial, self.cpus_per_node),
            ("gpus", trial.gpus_per_trial, self.gpus_per_node),
        ):
            if wanted > has:
                raise UserError(
                    f"--{name}-per-trial {wanted:g}: a node has {has}; give --{name}-per-node"
                )
        return {"nodes": self.nodes, "cpus": self.cpus_per_node, "gpus": self.gpus_per_node}


@group("SLURM")
class SlurmOptions:
    """What is requested from SLURM."""

    array: bool = option(False, "Print an array of independent jobs without Ray.", "--array")
    at_once: int | None = option(None, "At most this many jobs of an array at once.", min=1)
    time: str = option("24:00:00", "Time limit of a job, in SLURM's notation.")
    partition: str | None = option(None, "The partition of the job.", show_default="SLURM's")
    account: str | None = option(None, "The account that is charged.", show_default="SLURM's")


@group("Amazon's cloud")
class CloudOptions:
    """Machines of Amazon's cloud."""

    instance_type: str = option("g5.xlarge", "Amazon's instance type of a worker.")
    region: str = option("us-west-2", "Amazon's region.")
    nfs: str | None = option(
        None, "The NFS file system for the results, such as an EFS.", metavar="HOST:/PATH"
    )


@group("Your own machines")
class HostOptions:
    """The user's own machines."""

    hosts: str | None = option(
        None,
        "Your own machines, reached by SSH.",
        metavar="HEAD,HOST[,HOST...]",
        show_default="machines of Amazon's cloud",
    )
    ssh_user: str | None = option(None, "The user who logs in.", show_default="you")


@app.command(name="slurm", context_settings=STUDY_LAST)
@with_options
def slurm_script(
    context: typer.Context,
    words: WordsArgument,
    nodes: NodeSizeOptions,
    slurm: SlurmOptions,
    setup: SetupOption,
) -> None:
    """A script for sbatch: a study with Ray on several nodes, or an array of jobs.

    \b
    skelcon-ablate cluster slurm --nodes 4 augmentations --data PATH > job.sh
    skelcon-ablate cluster slurm --array augmentations --data PATH > array.sh
    """
    request, words = _read(context, words)
    job = {
        "words": words,
        "name": re.sub(r"[^\w.+-]+", "-", f"skelcon-{request.study.name}"),
        "directory": str(Path.cwd()),
        "setup": setup,
        **vars(slurm),
    }
    if slurm.array:
        why = "a job of an --array takes --cpus-per-trial and --gpus-per-trial"
        _refuse(context, why, "nodes", "cpus_per_node", "gpus_per_node")
        trial, groups = request.resources, _groups(request)
        cpus, gpus = math.ceil(trial.cpus_per_trial), math.ceil(trial.gpus_per_trial)
        text = render("slurm-array.sh.j2", **job, groups=groups, cpus=cpus, gpus=gpus)
    else:
        _refuse(context, "it is for --array", "at_once")
        text = render("slurm.sh.j2", **job, **nodes.checked(request))
    typer.echo(text, nl=False)


def _groups(request: StudyRequest) -> list[str]:
    """The keys of each job of an array, for what is missing of a study."""
    from ablation.monitor.output import Output
    from ablation.running import missing_units
    from ablation.store import Store
    from ablation.templates.slurm import jobs_of

    check_without_ray(request)
    output = Output(PlainConsole(stderr=True))
    plan = request.make_plan(output.console)
    missing = missing_units(plan.units, Store(request.output.results), output, repair=False)
    if not missing:
        raise UserError(f"study '{request.study.name}': all {len(plan.units)} units are done")
    return jobs_of(missing)


@app.command(name="ray-up", context_settings=STUDY_LAST)
@with_options
def ray_up_file(
    context: typer.Context,
    words: WordsArgument,
    nodes: NodeOptions,
    cloud: CloudOptions,
    hosts: HostOptions,
    setup: SetupOption,
) -> None:
    """A cluster file for Ray's launcher, ray up.

    \b
    skelcon-ablate cluster ray-up --nfs HOST:/PATH augmentations
    skelcon-ablate cluster ray-up --hosts head,one augmentations --results /net/r
    """
    request, words = _read(context, words)
    if hosts.hosts is not None:
        why = "--hosts names your own machines"
        _refuse(context, why, "nodes", "instance_type", "region", "nfs")
        head, *workers = [name.strip() for name in hosts.hosts.split(",")]
        if not head or not workers or not all(workers):
            raise UserError(f"--hosts {hosts.hosts}: give the head and at least one more machine")
        user = hosts.ssh_user or getpass.getuser()
        machines = {"head": head, "workers": workers, "user": user}
        text = render("ray-up-hosts.yaml.j2", words=words, setup=setup, **machines)
    else:
        _refuse(context, "it is for your own machines (--hosts)", "ssh_user", "setup")
        _check_shared(request, cloud.nfs)
        root = Path(__file__).parents[2]
        sources = str(root) if (root / "pyproject.toml").exists() else "/path/of/skelcon"
        rented = {"nodes": nodes.nodes, "sources": sources, "shared": SHARED, **vars(cloud)}
        text = render("ray-up-cloud.yaml.j2", words=words, **rented)
    typer.echo(text, nl=False)


@app.command(name="kuberay", context_settings=STUDY_LAST)
@with_options
def kuberay_file(
    context: typer.Context,
    words: WordsArgument,
    image: Annotated[str, typer.Option(help="An image in which skelcon is installed.")],
    nodes: NodeSizeOptions,
    claim: Annotated[
        str, typer.Option(help="The PersistentVolumeClaim that all pods share.")
    ] = "skelcon",
    memory: Annotated[
        str, typer.Option(help="Memory of a node, in Kubernetes' notation.")
    ] = "32Gi",
) -> None:
    """A RayJob for Kubernetes with KubeRay.

    \b
    skelcon-ablate cluster kuberay --image REPO/skelcon augmentations
    """
    request, words = _read(context, words)
    name = re.sub(r"[^a-z0-9]+", "-", f"skelcon-{request.study.name}".lower()).strip("-")[:40]
    job = {"words": words, "name": name, "image": image, "ray": metadata.version("ray")}
    pods = {"claim": claim, "shared": SHARED, "memory": memory, **nodes.checked(request)}
    typer.echo(render("kuberay.yaml.j2", **job, **pods), nl=False)


def _read(context: typer.Context, words: Sequence[str]) -> tuple[StudyRequest, list[str]]:
    """The request of the study's command, and the command's words."""
    for value in (*context.params.values(), *words, str(Path.cwd())):
        if isinstance(value, str) and not value.isprintable():
            raise UserError(f"{value!r}: a template takes no control characters, such as a newline")
    request = read_request(words)
    if request.resources.address is not None:
        raise UserError("--address: leave it out, the template fills in its cluster's address")
    return request, command_words(words)


def _refuse(context: typer.Context, why: str, *names: str) -> None:
    """UserError for the first of these options that was given, as it would be ignored."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UserError(f"--{name.replace('_', '-')}: leave it out here, {why}")


def _check_shared(request: StudyRequest, nfs: str | None) -> None:
    """UserError if the machines of a cloud would share no results."""
    from ablation.store import uri_of

    at_uri = uri_of(request.output.results) is not None and nfs is None
    if not at_uri and (nfs is None or not re.fullmatch(r"[^\s:]+:/\S*", nfs)):
        raise UserError(
            f"--nfs {nfs or '...'}: machines of a cloud share no file system: give one for the "
            "results as HOST:/PATH (or a URI with --results, or your own machines with --hosts)"
        )
