"""``skelcon-ablate cluster``: templates that start a cluster and run a study on it."""

from __future__ import annotations

import getpass
import math
import re
import shlex
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ablation.cli import study_command
from ablation.cli.study_command import StudyCommand, given
from ablation.store import uri_of
from ablation.templates import kuberay, ray_up, render, slurm
from skelcon.errors import UserError

app = typer.Typer(
    help="Print a template, ready to use, that starts a cluster and runs a study on it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
STUDY_LAST = {"allow_interspersed_args": False}

WordsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="STUDY [OPTIONS]...",
        help="The study's command, as you would run it, after the template's own options.",
    ),
]
NodesOption = Annotated[int, typer.Option(min=1, help="Nodes that run trials.")]
NodeCpusOption = Annotated[int, typer.Option(min=1, help="CPU cores of a node.")]
NodeGpusOption = Annotated[int, typer.Option(min=0, help="GPUs of a node.")]
SetupOption = Annotated[
    str | None,
    typer.Option(
        help="A line of shell that makes skelcon-ablate available on a node. Default: activates "
        "the virtual environment of this command.",
        show_default=False,
    ),
]


@app.command(name="slurm", context_settings=STUDY_LAST)
def slurm_script(
    context: typer.Context,
    words: WordsArgument,
    nodes: NodesOption = 2,
    cpus_per_node: NodeCpusOption = 8,
    gpus_per_node: NodeGpusOption = 0,
    array: Annotated[
        bool,
        typer.Option("--array", help="An array of independent jobs, without Ray, in its place."),
    ] = False,
    at_once: Annotated[
        int | None,
        typer.Option(min=1, help="Of an array: at most so many jobs.", show_default=False),
    ] = None,
    time: Annotated[str, typer.Option(help="Limit of a job, as SLURM writes it.")] = "24:00:00",
    partition: Annotated[str | None, typer.Option(show_default=False)] = None,
    account: Annotated[str | None, typer.Option(show_default=False)] = None,
    setup: SetupOption = None,
) -> None:
    """A script for sbatch: a study with Ray on several nodes, or an array of jobs without.

    \b
    skelcon-ablate cluster slurm --nodes 4 --gpus-per-node 8 augmentations --data PATH > job.sh
    skelcon-ablate cluster slurm --array augmentations --data PATH --seeds 3 > array.sh
    """
    asked = _read(context, words)
    job = slurm.Job(
        re.sub(r"[^\w.+-]+", "-", f"skelcon-{asked.study.name}"),
        time,
        str(Path.cwd()),
        partition,
        account,
        _setup() if setup is None else setup,
    )
    if not array:
        _refuse(context, "only an --array has a number of jobs at once", "at_once")
        _fits(asked, cpus_per_node, gpus_per_node)
        script = slurm.RayScript(asked.words, job, nodes, cpus_per_node, gpus_per_node)
        typer.echo(render(script), nl=False)
        return
    why = "the jobs of an --array take what a trial takes (--cpus-per-trial, --gpus-per-trial)"
    _refuse(context, why, "nodes", "cpus_per_node", "gpus_per_node")
    asked.check_without_ray()
    resources = asked.resources
    cpus, gpus = math.ceil(resources.cpus_per_trial), math.ceil(resources.gpus_per_trial)
    console = Console(stderr=True)
    plan = asked.plan(console)
    jobs = slurm.jobs_of(asked.missing(plan, console))
    if not jobs:
        raise UserError(f"study '{asked.study.name}': all {len(plan.units)} units are done")
    array_script = slurm.ArrayScript(asked.words, job, jobs, at_once, cpus, gpus)
    typer.echo(render(array_script), nl=False)


@app.command(name="ray-up", context_settings=STUDY_LAST)
def ray_up_file(
    context: typer.Context,
    words: WordsArgument,
    hosts: Annotated[
        str | None,
        typer.Option(
            metavar="HEAD,HOST[,HOST...]",
            help="Your own machines, reached by SSH. Without it: machines of Amazon's cloud.",
            show_default=False,
        ),
    ] = None,
    ssh_user: Annotated[
        str | None, typer.Option(help="Who logs in. Default: you.", show_default=False)
    ] = None,
    nodes: NodesOption = 2,
    instance_type: Annotated[str, typer.Option(help="Amazon's name of a worker.")] = "g5.xlarge",
    region: Annotated[str, typer.Option(help="Amazon's name of the place.")] = "us-west-2",
    nfs: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:/PATH",
            help="The file system for the results in the cloud, such as an EFS.",
            show_default=False,
        ),
    ] = None,
    setup: SetupOption = None,
) -> None:
    """A cluster file for Ray's launcher, ray up.

    \b
    skelcon-ablate cluster ray-up --nfs fs-1.efs.us-west-2.amazonaws.com:/ augmentations
    skelcon-ablate cluster ray-up --hosts head,one,two augmentations --results /net/results
    """
    asked = _read(context, words)
    if hosts is not None:
        _refuse(
            context, "--hosts names your own machines", "nodes", "instance_type", "region", "nfs"
        )
        names = [name.strip() for name in hosts.split(",")]
        if len(names) < 2 or not all(names):
            raise UserError(f"--hosts {hosts}: give the head and one machine more at least")
        line = _setup() if setup is None else setup
        user = ssh_user or getpass.getuser()
        hosts_file = ray_up.HostsFile(asked.words, names[0], names[1:], user, line)
        typer.echo(render(hosts_file), nl=False)
        return
    _refuse(context, "only your own machines (--hosts) take it", "ssh_user", "setup")
    kept_at_uri = uri_of(asked.options["results"]) is not None and nfs is None
    if not kept_at_uri and (nfs is None or not re.fullmatch(r"[^\s:]+:/\S*", nfs)):
        raise UserError(
            f"--nfs {nfs or '...'}: machines of a cloud share no file system of their own, so name "
            "one for the results as HOST:/PATH (or your own machines with --hosts, "
            "or --results at a URI)"
        )
    cloud = ray_up.CloudFile(asked.words, region, instance_type, nodes, _sources(), nfs)
    typer.echo(render(cloud), nl=False)


@app.command(name="kuberay", context_settings=STUDY_LAST)
def kuberay_file(
    context: typer.Context,
    words: WordsArgument,
    image: Annotated[str, typer.Option(help="An image in which skelcon is installed.")],
    claim: Annotated[
        str, typer.Option(help="The PersistentVolumeClaim that all pods share.")
    ] = "skelcon",
    nodes: NodesOption = 2,
    cpus_per_node: NodeCpusOption = 8,
    gpus_per_node: NodeGpusOption = 0,
    memory: Annotated[str, typer.Option(help="Of a node, as Kubernetes writes it.")] = "32Gi",
) -> None:
    """A RayJob for Kubernetes with KubeRay.

    \b
    skelcon-ablate cluster kuberay --image REPO/skelcon --gpus-per-node 1 augmentations
    """
    asked = _read(context, words)
    _fits(asked, cpus_per_node, gpus_per_node)
    name = re.sub(r"[^a-z0-9]+", "-", f"skelcon-{asked.study.name}".lower()).strip("-")[:40]
    job = kuberay.JobFile(
        words=asked.words,
        name=name,
        image=image,
        ray=metadata.version("ray"),
        claim=claim,
        nodes=nodes,
        cpus=cpus_per_node,
        gpus=gpus_per_node,
        memory=memory,
    )
    typer.echo(render(job), nl=False)


def _read(context: typer.Context, words: list[str]) -> StudyCommand:
    for value in (*context.params.values(), *words, str(Path.cwd())):
        if isinstance(value, str) and not value.isprintable():
            raise UserError(f"{value!r}: a template takes no control characters, such as a newline")
    asked = study_command.read(context, words)
    if asked.resources.address is not None:
        raise UserError("--address: leave it out, the template fills in that of its cluster")
    return asked


def _refuse(context: typer.Context, why: str, *names: str) -> None:
    """UserError for the first of these options that was given: it would be ignored."""
    for name in names:
        if given(context, name):
            raise UserError(f"--{name.replace('_', '-')}: leave it out here, {why}")


def _fits(asked: StudyCommand, cpus: int, gpus: int) -> None:
    """UserError if no node could start a trial."""
    resources = asked.resources
    for name, wanted, has in (
        ("cpus", resources.cpus_per_trial, cpus),
        ("gpus", resources.gpus_per_trial, gpus),
    ):
        if wanted > has:
            raise UserError(
                f"--{name}-per-trial {wanted:g}: a node has {has}; give --{name}-per-node"
            )


def _setup() -> str:
    """The line that activates the virtual environment of this command; empty outside of one."""
    activate = Path(sys.prefix) / "bin" / "activate"
    return f"source {shlex.quote(str(activate))}" if activate.exists() else ""


def _sources() -> str:
    """Skelcon's sources, if this is run from them."""
    root = Path(__file__).parents[1]
    return str(root) if (root / "pyproject.toml").exists() else "/path/of/skelcon"
