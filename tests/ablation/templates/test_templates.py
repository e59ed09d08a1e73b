"""The printed templates: shell that parses and runs, YAML that Ray's and KubeRay's schemas take."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from ablation.cli import main
from ablation.plan import Unit
from ablation.templates import slurm


@pytest.fixture
def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["skelcon-ablate", "cluster", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        assert not end.value.code, told.err
        return told.out

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
        told = capsys.readouterr()
        (line,) = told.err.strip().splitlines()
        assert not told.out
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
    last = shlex.split(script[script.index("\nsrun ") :].replace("\\\n", " "))
    assert last[last.index("ray") :] == [
        "ray",
        "symmetric-run",
        "--address",
        "$first:6379",
        "--min-nodes",
        "$SLURM_JOB_NUM_NODES",
        "--num-cpus",
        "8",
        "--num-gpus",
        "4",
        "--",
        "skelcon-ablate",
        *map(str, words),
        "--address",
        "auto",
        "--yes",
    ]
    assert "RAY_AUTH_MODE=token" in script
    assert "# Open: Ray listens on" in script


@pytest.mark.slow
def test_the_jobs_of_an_array_do_the_whole_study(
    printed: Callable[..., str],
    refused: Callable[..., str],
    utd: Path,
    study_file: Path,
    tmp_path: Path,
) -> None:
    """With an srun that runs what it is told, and paths with spaces in them."""
    results, programs = tmp_path / "my results", tmp_path / "bin"
    programs.mkdir()
    main_program = f'exec {sys.executable} -c "from ablation.cli import main; main()" "$@"'
    for name, text in (("srun", 'shift; exec "$@"'), ("skelcon-ablate", main_program)):
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755)
    words = (study_file, "--data", utd, "--only", "crop+jitter", "--results", results)
    options = ("--array", "--setup", f"export PATH='{programs}':$PATH")
    script = printed("slurm", *options, "--at-once", 3, *words)
    assert directives(script)["array"] == "0-1%3"
    assert "exclusive" not in directives(script)
    for task in range(2):
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(task)}
        done = subprocess.run(
            ["bash"], input=script, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert len(list(results.glob("units/*/DONE"))) == 4
    assert "all 4 units are done" in refused("slurm", *options, *words)


def test_a_job_does_the_evaluations_of_one_set_of_pretrainings() -> None:
    first, second = (Unit({"unit": "pretrain", "n": n}, (), "") for n in range(2))
    needs = [(first.key,), (first.key, second.key), (first.key,), ()]
    asking = [Unit({"unit": "evaluate", "n": n}, each, "") for n, each in enumerate(needs)]
    keys = [unit.key for unit in asking]
    assert slurm.jobs_of([first, second, *asking]) == [f"{keys[0]},{keys[2]}", keys[1], keys[3]]
    assert slurm.jobs_of([first, second]) == [f"{first.key},{second.key}"]
    assert slurm.jobs_of([]) == []


def test_an_array_is_no_larger_than_slurm_takes() -> None:
    units = [Unit({"unit": "evaluate", "n": n}, (str(n),), "") for n in range(2500)]
    jobs = slurm.jobs_of(units)
    assert len(jobs) <= slurm.MAX_JOBS
    assert [key for job in jobs for key in job.split(",")] == [unit.key for unit in units]


@pytest.mark.parametrize(
    "options", [("--nfs", "fs-1.example:/"), ("--hosts", "head,one,two", "--ssh-user", "me")]
)
def test_ray_takes_the_file_of_its_launcher(
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


def test_kuberay_gets_a_job_with_a_shared_claim(printed: Callable[..., str]) -> None:
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


def test_kuberays_line_of_shell_takes_the_whole_entrypoint_for_words(
    printed: Callable[..., str],
) -> None:
    words = ("augmentations", "--data", "/d/my data; ls && ls")
    job = yaml.safe_load(printed("kuberay", "--image", "x", *words))
    told = shlex.shlex(job["spec"]["entrypoint"], posix=True, punctuation_chars=True)
    told.whitespace_split = True
    assert list(told)[3:7] == ["skelcon-ablate", *words]
    assert not {";", "&&"} & set(shlex.shlex(job["spec"]["entrypoint"], punctuation_chars=True))


def test_names_and_values_cannot_leave_their_place(
    printed: Callable[..., str], study_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "my study.yaml"
    file.write_text(study_file.read_text())
    asked = directives(printed("slurm", "--partition", "a b", file))
    assert (asked["job-name"], asked["partition"]) == ("skelcon-my-study", "'a b'")
    place = "x, y: {z"
    text = printed("ray-up", "--nfs", "h:/", "--region", place, "augmentations")
    assert yaml.safe_load(text)["provider"]["region"] == place


def test_results_at_a_uri_need_no_file_system(printed: Callable[..., str]) -> None:
    text = printed("ray-up", "augmentations", "--results", "s3://bucket/x")
    assert "s3://bucket/x" in text
    assert yaml.safe_load(text)["setup_commands"] == ["pip install -q ~/skelcon"]
    printed("kuberay", "--image", "x", "augmentations", "--results", "gs://b/x")
    printed("slurm", "augmentations", "--results", "gs://b/x")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("slurm", "augmentation"), "'augmentation' is no study: did you mean 'augmentations'"),
        (("slurm", "augmentations", "--sed", 1), "--sed"),
        (("slurm", "augmentations", "--address", "auto"), "--address: leave it out"),
        (("slurm", "augmentations", "--gpus-per-trial", 1), "a node has 0; give --gpus-per-node"),
        (("ray-up", "augmentations"), "name one for the results as HOST:/PATH"),
        (("ray-up", "--hosts", "head", "augmentations"), "one machine more at least"),
        (("kuberay", "augmentations"), "--image"),
        (("slurm", "--array", "augmentations", "--results", "gs://b/x"), "'gs://b/x' is"),
        (("slurm", "--array", "--nodes", 2, "augmentations"), "--nodes: leave it out here"),
        (("slurm", "--array", "augmentations", "--track", "wandb"), "--track"),
        (("slurm", "--at-once", 2, "augmentations"), "--at-once: leave it out here"),
        (("slurm", "augmentations", "--track", "nonsense"), "--track nonsense"),
        (("slurm", "augmentations", "--probe", 3), "--probe 3: measures for a plan"),
        (("slurm", "augmentations", "--data", "a\nrm b"), "no control characters"),
        (("ray-up", "--hosts", "a,b", "--region", "x", "augmentations"), "--region: leave it out"),
        (("ray-up", "--ssh-user", "me", "--nfs", "h:/", "augmentations"), "--ssh-user: leave it"),
    ],
)
def test_a_mistake_prints_no_template(
    refused: Callable[..., str], words: tuple[object, ...], told: str
) -> None:
    assert told in refused(*words)
