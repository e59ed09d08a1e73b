"""The printed templates: shell that parses and runs, YAML that Ray's and KubeRay's schemas take."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from ablation_helpers import in_process

from ablation.cli import main
from ablation.templates import slurm


@pytest.fixture
def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["skelcon-ablate", "cluster", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        output = capsys.readouterr()
        assert not end.value.code, output.err
        return output.out

    return run


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["skelcon-ablate", "cluster", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        output = capsys.readouterr()
        (line,) = output.err.strip().splitlines()
        assert not output.out
        return line

    return run


def directives(script: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines() if "#SBATCH" in line]
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}


def parses(script: str) -> bool:
    return subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_a_study_on_ray_asks_slurm_for_whole_nodes(printed: Callable[..., str]) -> None:
    words = ("augmentations", "--data", "/d/my data", "--gpus-per-trial", 0.5)
    script = printed("slurm", "--nodes", 3, "--gpus-per-node", 4, "--partition", "gpu", *words)
    assert parses(script)
    asked = directives(script)
    assert (asked["nodes"], asked["gpus-per-node"], asked["partition"]) == ("3", "4", "gpu")
    assert asked["ntasks-per-node"] == "1"
    assert "exclusive" in asked  # 'ray stop' ends all of the user's Ray on a node
    assert "account" not in asked
    srun = script[script.index("\nsrun ") : script.index("\nstep=")].replace("\\\n", " ")
    ray, _, study = srun.removesuffix(" &").partition(" -- ")
    assert shlex.split(ray[ray.index("ray ") :]) == [
        *("ray", "symmetric-run", "--address", "$first:6379"),
        *("--min-nodes", "$SLURM_JOB_NUM_NODES", "--num-cpus", "8", "--num-gpus", "4"),
    ]
    command = ["skelcon-ablate", *map(str, words), "--address", "auto", "--yes"]
    assert shlex.split(study)[-len(command) :] == command
    assert "RAY_AUTH_MODE=token" in script
    assert "# Open: Ray listens on" in script


STAND_INS = {
    "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "scontrol": '[ "$1" = show ] && echo node || echo "$@" >>"$REQUESTS"',
    "ray": 'while [ "$1" != -- ]; do shift; done; shift; "$@"; exit $?',
    "skelcon-ablate": 'trap "exit 130" TERM; touch "$READY"; until [ -e "$END" ]; do sleep 0.02; '
    'done; exit "$(<"$END")"',
}
"""SLURM's commands and Ray's as far as the scripts use them, and a study that waits."""


def install(folder: Path, programs: Mapping[str, str]) -> str:
    """Writes the programs; the line of shell that makes them available."""
    folder.mkdir()
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    return f"export PATH='{folder}':$PATH"


@dataclass
class RunningJob:
    """A script that runs with stand-ins."""

    batch: subprocess.Popen[bytes]
    folder: Path

    def end(self, code: int) -> int:
        """The study ends with ``code``; the job's exit code."""
        (self.folder / "part").write_text(str(code))
        (self.folder / "part").rename(self.folder / "end")
        return self.batch.wait(30)

    @property
    def requests(self) -> list[str]:
        """What was asked of scontrol."""
        path = self.folder / "requests"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def start(printed: Callable[..., str], tmp_path: Path) -> Iterator[Callable[..., RunningJob]]:
    jobs: list[RunningJob] = []

    def run(*options: object) -> RunningJob:
        setup = install(tmp_path / "my programs", STAND_INS)
        (tmp_path / "job.sh").write_text(printed("slurm", "--setup", setup, *options))
        files = {name.upper(): str(tmp_path / name) for name in ("requests", "ready", "end")}
        job = {"SLURM_JOB_ID": "70", "SLURM_JOB_NODELIST": "node", "SLURM_JOB_NUM_NODES": "1"}
        array = {"SLURM_ARRAY_JOB_ID": "70", "SLURM_ARRAY_TASK_ID": "1"}
        batch = subprocess.Popen(
            ["bash", tmp_path / "job.sh"],
            env={**os.environ, **files, **job, **array, "TMPDIR": str(tmp_path)},
            start_new_session=True,
        )
        jobs.append(RunningJob(batch, tmp_path))
        until = time.monotonic() + 30
        while not (tmp_path / "ready").exists():
            assert batch.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        return jobs[-1]

    yield run
    for job in jobs:
        with suppress(ProcessLookupError):
            os.killpg(job.batch.pid, signal.SIGKILL)
        job.batch.wait()


def test_slurms_signal_reaches_the_driver_and_the_job_requeues_itself(
    start: Callable[..., RunningJob], tmp_path: Path
) -> None:
    job = start("--nodes", 1, "augmentations")
    asked = directives((tmp_path / "job.sh").read_text())
    assert asked["signal"] == "B:USR1@120"
    assert "requeue" in asked
    assert asked["open-mode"] == "append"
    job.batch.send_signal(signal.SIGUSR1)  # to the batch shell alone
    assert job.batch.wait(30) == 130
    assert job.requests == ["requeue 70"]
    assert not list(tmp_path.glob("tmp.*"))


def test_an_interrupted_job_of_an_array_requeues_itself_and_no_other(
    start: Callable[..., RunningJob], tmp_path: Path
) -> None:
    job = start("--array", "augmentations")
    assert directives((tmp_path / "job.sh").read_text())["signal"] == "TERM@120"
    assert job.end(130) == 130
    assert job.requests == ["requeue 70_1"]


@pytest.mark.parametrize("options", [("--nodes", 1), ("--array",)])
@pytest.mark.parametrize("code", [0, 1])
def test_a_job_that_has_ended_or_failed_is_not_requeued(
    start: Callable[..., RunningJob], options: tuple[object, ...], code: int
) -> None:
    job = start(*options, "augmentations")
    assert job.end(code) == code
    assert job.requests == []


@pytest.mark.parametrize("options", [("--nodes", 1), ("--array",)])
def test_a_job_that_was_cancelled_is_not_requeued(
    start: Callable[..., RunningJob], options: tuple[object, ...]
) -> None:
    job = start(*options, "augmentations")
    os.killpg(job.batch.pid, signal.SIGTERM)
    assert job.batch.wait(30) == -signal.SIGTERM
    assert job.requests == []


def test_the_jobs_of_an_array_do_the_whole_study(
    printed: Callable[..., str],
    refused: Callable[..., str],
    utd: Path,
    study_file: Path,
    tmp_path: Path,
) -> None:
    """Also with paths that contain spaces."""
    results, asked = tmp_path / "my results", tmp_path / "asked"
    note = f"printf '%s\\0' \"$@\" >'{asked}'"
    programs = {"srun": STAND_INS["srun"], "skelcon-ablate": note}
    words = (study_file, "--data", utd, "--only", "crop+jitter", "--results", results)
    options = ("--array", "--setup", install(tmp_path / "my programs", programs))
    script = printed("slurm", *options, "--at-once", 3, *words)
    assert directives(script)["array"] == "0-1%3"
    assert "exclusive" not in directives(script)
    for task in range(2):
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(task)}
        done = subprocess.run(
            ["bash"], input=script, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        ended = in_process(*asked.read_text().split("\0")[:-1])  # as the job would
        assert ended.returncode == 0, ended.stderr
    assert len(list(results.glob("units/*/DONE"))) == 4
    assert "all 4 units are done" in refused("slurm", *options, *words)


@dataclass(frozen=True)
class FakeUnit:
    key: str
    needs: tuple[str, ...] = ()


def test_a_job_does_the_evaluations_of_one_set_of_pretrainings() -> None:
    first, second = FakeUnit("p1"), FakeUnit("p2")
    needs = [("p1",), ("p1", "p2"), ("p1",), ()]
    evaluations = [FakeUnit(f"e{n}", each) for n, each in enumerate(needs)]
    assert slurm.jobs_of([first, second, *evaluations]) == ["e0,e2", "e1", "e3"]
    assert slurm.jobs_of([first, second]) == ["p1,p2"]
    assert slurm.jobs_of([]) == []


def test_an_array_is_no_larger_than_slurm_takes() -> None:
    units = [FakeUnit(f"e{n}", (str(n),)) for n in range(2500)]
    jobs = slurm.jobs_of(units)
    assert len(jobs) <= slurm.MAX_JOBS
    assert [key for job in jobs for key in job.split(",")] == [unit.key for unit in units]


@pytest.mark.parametrize(
    "options", [("--nfs", "fs-1.example:/"), ("--hosts", "head,one,two", "--ssh-user", "me")]
)
def test_rays_launcher_accepts_its_cluster_file(
    printed: Callable[..., str], options: tuple[str, ...]
) -> None:
    util = pytest.importorskip("ray.autoscaler._private.util")
    text = printed("ray-up", *options, "augmentations", "--seeds", 3)
    config = util.prepare_config(yaml.safe_load(text))
    util.validate_config(config)
    assert "skelcon-ablate augmentations --seeds 3 --address auto --yes" in text
    assert "# Open: Ray listens on" in text
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        (stop, start) = config[name]
        assert stop.endswith("ray stop")
        assert "RAY_AUTH_MODE=token" in start
    if "--hosts" in options:
        assert config["provider"]["head_ip"] == "head"
        assert config["provider"]["worker_ips"] == ["one", "two"]
        assert config["auth"]["ssh_user"] == "me"
    else:
        assert config["available_node_types"]["worker"]["min_workers"] == 2
        assert config["available_node_types"]["head"]["resources"] == {"CPU": 0, "GPU": 0}
        assert any("fs-1.example:/" in command for command in config["setup_commands"])


def test_a_kuberay_job_has_a_shared_claim(printed: Callable[..., str]) -> None:
    options = ("--image", "me/skelcon:1", "--gpus-per-node", 2, "--nodes", 5, "--claim", "ours")
    job: dict[str, Any] = yaml.safe_load(printed("kuberay", *options, "rep-pairs", "--seeds", 3))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["metadata"]["name"] == "skelcon-rep-pairs"
    assert job["spec"]["entrypoint"] == (
        "env -C /shared skelcon-ablate rep-pairs --seeds 3 --address auto --yes"
    )
    assert job["spec"]["shutdownAfterJobFinishes"] is True
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == metadata.version("ray")
    assert cluster["authOptions"] == {"mode": "token"}
    (workers,) = cluster["workerGroupSpecs"]
    assert [workers[f"{name}eplicas"] for name in ("r", "minR", "maxR")] == [5, 5, 5]
    for group in (cluster["headGroupSpec"], workers):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"] == "me/skelcon:1"
        (mount,), (volume,) = container["volumeMounts"], pod["volumes"]
        assert mount == {"name": volume["name"], "mountPath": "/shared"}
        assert volume["persistentVolumeClaim"] == {"claimName": "ours"}
    limits = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == "2"


def test_kuberay_reads_the_entrypoint_as_one_command(
    printed: Callable[..., str],
) -> None:
    words = ("augmentations", "--data", "/d/my data; ls && ls")
    job = yaml.safe_load(printed("kuberay", "--image", "x", *words))
    tokens = shlex.shlex(job["spec"]["entrypoint"], posix=True, punctuation_chars=True)
    tokens.whitespace_split = True
    assert list(tokens)[3:7] == ["skelcon-ablate", *words]
    assert not {";", "&&"} & set(shlex.shlex(job["spec"]["entrypoint"], punctuation_chars=True))


def test_names_and_values_are_quoted(
    printed: Callable[..., str], study_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "my study.yaml"
    file.write_text(study_file.read_text())
    asked = directives(printed("slurm", "--partition", "a b", file))
    assert (asked["job-name"], asked["partition"]) == ("skelcon-my-study", "'a b'")
    region = "x, y: {z"
    text = printed("ray-up", "--nfs", "h:/", "--region", region, "augmentations")
    assert yaml.safe_load(text)["provider"]["region"] == region


def test_results_at_a_uri_need_no_file_system(printed: Callable[..., str]) -> None:
    text = printed("ray-up", "augmentations", "--results", "s3://bucket/x")
    assert "s3://bucket/x" in text
    assert yaml.safe_load(text)["setup_commands"] == ["pip install -q ~/skelcon"]
    printed("kuberay", "--image", "x", "augmentations", "--results", "gs://b/x")
    printed("slurm", "augmentations", "--results", "gs://b/x")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("slurm", "augmentation"), "'augmentation' is no study: did you mean 'augmentations'"),
        (("slurm", "augmentations", "--sed", 1), "--sed"),
        (("slurm", "augmentations", "--address", "auto"), "--address: leave it out"),
        (("slurm", "augmentations", "--gpus-per-trial", 1), "a node has 0; give --gpus-per-node"),
        (("ray-up", "augmentations"), "give one for the results as HOST:/PATH"),
        (("ray-up", "--hosts", "head", "augmentations"), "at least one more machine"),
        (("kuberay", "augmentations"), "--image"),
        (("slurm", "--array", "augmentations", "--results", "gs://b/x"), "'gs://b/x' is"),
        (("slurm", "--array", "--nodes", 2, "augmentations"), "--nodes: leave it out here"),
        (("slurm", "--array", "augmentations", "--track", "wandb"), "--track"),
        (("slurm", "--at-once", 2, "augmentations"), "--at-once: leave it out here"),
        (("slurm", "augmentations", "--track", "nonsense"), "--track nonsense"),
        (("slurm", "augmentations", "--probe", 3), "--probe 3: only with --plan"),
        (("slurm", "augmentations", "--data", "a\nrm b"), "no control characters"),
        (("ray-up", "--hosts", "a,b", "--region", "x", "augmentations"), "--region: leave it out"),
        (("ray-up", "--ssh-user", "me", "--nfs", "h:/", "augmentations"), "--ssh-user: leave it"),
    ],
)
def test_a_mistake_prints_no_template(
    refused: Callable[..., str], words: tuple[object, ...], message: str
) -> None:
    assert message in refused(*words)
