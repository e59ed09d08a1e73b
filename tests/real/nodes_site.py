"""A Ray cluster of two nodes in network name spaces, one of which loses its link while it trains.

    unshare --pid --net --mount-proc --fork --kill-child \\
        python nodes_site.py PLACE DATA STUDY SECONDS

The head and the driver are on one node, the other one has a link of its own, which is down for
SECONDS (0: for good). Prints a JSON object. All of it is in this process's name spaces.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path

EPOCHS = 300
SLOW = """
import time
from skelcon import register_augmentation


@register_augmentation("slow", version="1")
def slow(view, generator):
    time.sleep(0.08)
    return view
"""
"""Both units last for minutes on any machine: a lost link is noticed after half a minute."""
HEAD, OTHER = "10.254.253.1", "10.254.253.2"
RAY = "from ray.scripts.scripts import main; main()"
SKELCON = "from ablation.cli import main; main()"


def said(*words: object) -> str:
    """What a command prints; an error with its words if it fails."""
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True).stdout


def connect() -> None:
    """A bridge, and two name spaces with a link to it each."""
    said("mount", "-t", "tmpfs", "none", "/run")
    said("ip", "link", "add", "bridge0", "type", "bridge")
    said("ip", "link", "set", "bridge0", "up")
    for name, address in (("head", HEAD), ("other", OTHER)):
        said("ip", "netns", "add", name)
        said(
            "ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name
        )
        said("ip", "link", "set", f"to-{name}", "master", "bridge0", "up")
        said("ip", "-n", name, "address", "add", f"{address}/29", "dev", "eth0")
        for link in ("eth0", "lo"):
            said("ip", "-n", name, "link", "set", link, "up")


def inside(where: str, program: str, log: Path, *words: object) -> subprocess.Popen[bytes]:
    """A Python program in a name space."""
    command = ["ip", "netns", "exec", where, sys.executable, "-c", program, *map(str, words)]
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


def until(what: str, ready: object, seconds: float, place: Path) -> None:
    """Wait; an error with the ends of all logs after so many seconds."""
    give_up = time.monotonic() + seconds
    assert callable(ready)
    while not ready():
        if time.monotonic() > give_up:
            logs = [f"{log}:\n{log.read_text()[-1500:]}" for log in place.glob("*.log")]
            raise RuntimeError("\n".join([f"{what}: not after {seconds:g} s", *logs]))
        time.sleep(0.2)


def main() -> None:
    """The command line."""
    place, data, file, seconds = Path(sys.argv[1]), *sys.argv[2:4], float(sys.argv[4])
    results = place / "results"
    connect()
    os.environ |= {"RAY_TMPDIR": str(place / "ray"), "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    common = "--num-cpus", 1, "--num-gpus", 0, "--object-store-memory", 100 << 20, "--block"
    head = f"start --head --include-dashboard false --node-ip-address {HEAD} --port 6379"
    inside("head", RAY, place / "head.log", *head.split(), *common)
    started = lambda name: "Ray runtime started" in (place / name).read_text()  # noqa: E731
    until("the head", lambda: started("head.log"), 90, place)
    other = f"start --address {HEAD}:6379 --node-ip-address {OTHER}"
    inside("other", RAY, place / "other.log", *other.split(), *common)
    until("the other node", lambda: started("other.log"), 90, place)
    (place / "slow.py").write_text(SLOW)
    study = Path(file).read_text().replace("use: []", "use: [slow]")
    (place / "tiny.yaml").write_text(f"plugins: [slow.py]\n{study}")
    options = f"--only none --yes --retries 0 --set pretrain.epochs={EPOCHS} --address {HEAD}:6379"
    words = ("run", place / "tiny.yaml", "--data", data, "--results", results, *options.split())
    driver = inside("head", SKELCON, place / "driver.log", *words)
    both = lambda: len(list(results.glob("units/*/checkpoint.pt"))) == 2  # noqa: E731
    until("a checkpoint of both units", both, 300, place)
    said("ip", "link", "set", "to-other", "down")
    began = time.monotonic()
    if seconds:
        back = ("ip", "link", "set", "to-other", "up")
        threading.Timer(seconds, said, back).start()
    code = driver.wait(900)
    texts = [path.read_text() for path in sorted(results.glob("units/*/log.txt"))]
    found = {
        "code": code,
        "seconds": round(time.monotonic() - began, 1),
        "units": len(list(results.glob("units/*/DONE"))),
        "resumed": sum("resumed at epoch" in text for text in texts),
        "driver": (place / "driver.log").read_text()[-4000:],
        "logs": texts,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
