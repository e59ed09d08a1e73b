"""The Ray cluster of one command: quiet, on loopback unless one is given, and gone at its end.

Importing this module imports Ray (seconds): only a command that has something to run does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# Ray reads these when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^")  # print nothing of a node that is lost
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# A unit that is handed out is this driver's: no more of them than are about to start.
os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "2")
# Workers keep freed memory: a training step allocates the same large blocks again and again, and
# giving them back to the system costs a page fault for each of their pages.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 30))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(4 << 30))

import ray

from ablation.address import check_answers, check_syntax
from ablation.resources import Resources
from skelcon.errors import UserError


@contextlib.contextmanager
def cluster(resources: Resources) -> Iterator[list[Mapping[str, float]]]:
    """A Ray cluster: the one at ``--address``, one already joined, or one of this machine.

    Gives the resources of each of its nodes, as Ray names them.
    """
    for name in ("ray", "ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    ours = not ray.is_initialized()
    if ours:
        common: dict[str, Any] = {
            "log_to_driver": False,
            "logging_level": logging.CRITICAL,
            "configure_logging": False,
        }
        if resources.address:
            _join(resources.address, common)
        else:
            # Data goes by path, so the object store stays small.
            ray.init(
                address="local",  # whatever RAY_ADDRESS says
                include_dashboard=False,
                object_store_memory=100 << 20,
                **common,
            )
    try:
        with _terminated_like_interrupted():
            yield [node["Resources"] for node in ray.nodes() if node["Alive"]]
    finally:
        if ours:
            ray.shutdown()


def _join(address: str, options: Mapping[str, Any]) -> None:
    """Connect to the cluster at ``address``; :class:`UserError` if it does not answer."""
    try:
        # Where Ray will look: what RAY_ADDRESS says for auto, an outer address for a loopback one.
        found = ray._private.services.canonicalize_bootstrap_address(address)
        if found is None:
            raise UserError(
                f"--address {address}: no Ray cluster runs on this machine, and RAY_ADDRESS names "
                "none; give HOST:PORT, or start one (skelcon-ablate cluster --help)"
            )
        check_syntax(found)
        check_answers(found, address)
        _check_token(found, address)
        ray.init(address=found, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"no Ray cluster answers at --address {address}: {' '.join(str(error).split())[:300]}"
        ) from None


def _check_token(found: str, address: str) -> None:
    """Raise :class:`UserError` if the cluster does not take this process's token, or lack of one.

    Ray itself tries for 20 seconds and then says that it cannot connect. A Ray that does not know
    of tokens asks for none.
    """
    with contextlib.suppress(ImportError):
        from ray._private.authentication import authentication_token_setup as setup
        from ray.exceptions import AuthenticationError, RayError

        if address == "auto" and hasattr(setup, "maybe_enable_token_auth_if_token_available"):
            # What Ray does with a cluster that it has found itself, and never with one it is told.
            setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        try:
            setup.ensure_token_if_auth_enabled(create_token_if_missing=False)
            with _hushed():
                ray._raylet.GcsClient(address=found)
        except AuthenticationError:
            raise UserError(
                f"the Ray cluster at --address {address} asks for its token: set "
                "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what 'ray get-auth-token' prints on "
                "its head"
            ) from None
        except RayError as error:
            raise UserError(
                f"no Ray cluster answers at --address {address}: {' '.join(str(error).split())}"
            ) from None


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """What Ray's own code writes past Python to stderr is dropped in this block."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def holds_resources() -> bool:
    """Whether the cluster has given this driver anything for a trial yet."""
    job = ray.get_runtime_context().get_job_id()
    return any(
        group["state"] == "CREATED" and name.endswith(job)  # a group's id ends with its job's
        for name, group in ray.util.placement_group_table().items()
    )


def free_resources() -> str:
    """What nobody uses at present, in words."""
    free, total = ray.available_resources(), ray.cluster_resources()
    shares = [
        f"{free.get(name, 0):g} of {total[name]:g} {name}s"
        for name in ("CPU", "GPU")
        if name in total
    ]
    return f"free at present: {' and '.join(shares)}"


class SessionLostError(Exception):
    """The Ray of this machine that the driver started has died under it."""


def check_session() -> None:
    """Raise :class:`SessionLostError` if a process that Ray cannot do without has died.

    Ray itself would wait for it for ever. (Of a cluster that was joined Ray knows more than this
    machine does.)
    """
    node = ray._private.worker._global_node
    if node is not None and any(
        kind in ("raylet", "gcs_server") for kind, _ in node.dead_processes()
    ):
        raise SessionLostError


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM does in this block what Ctrl-C does: leave, so that the same command can go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
