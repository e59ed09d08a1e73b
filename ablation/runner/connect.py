"""Connecting to the Ray cluster at ``--address``: why that is impossible is known in seconds.

Importing this module imports Ray; :mod:`ablation.runner.session` sets before what Ray then reads.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray

from ablation.runner.address import check_answers, check_syntax
from skelcon.errors import UserError


def connect(address: str, options: Mapping[str, Any]) -> None:
    """Connect to the cluster at ``address``; :class:`UserError` if it does not answer."""
    try:
        found = _resolve(address)
        if found is None:
            raise UserError(
                f"--address {address}: no Ray cluster runs on this machine, and RAY_ADDRESS names "
                "none; give HOST:PORT, or start one (skelcon-ablate cluster --help)"
            )
        if found != "auto":
            check_syntax(found)
            check_answers(found, address)
            _check_token(found, address)
        ray.init(address=found, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"no Ray cluster answers at --address {address}: {' '.join(str(error).split())[:300]}"
        ) from None


def _resolve(address: str) -> str | None:
    """Where Ray will look: for auto what RAY_ADDRESS says or the cluster of this machine.

    Ray has no public function for this; where it moves, ``ray.init`` resolves the address itself.
    """
    services = getattr(ray._private, "services", None)
    resolve = getattr(services, "canonicalize_bootstrap_address", None)
    return address if resolve is None else resolve(address)


def _check_token(found: str, address: str) -> None:
    """Raise :class:`UserError` if the cluster does not take this process's token, or lack of one.

    Ray itself tries for 20 seconds and then says that it cannot connect. It has no public way to
    ask: where its private one is another, Ray's own answer has to do.
    """
    with contextlib.suppress(ImportError, AttributeError):
        from ray._private.authentication import authentication_token_setup as setup
        from ray.exceptions import AuthenticationError, RayError

        if address == "auto" and hasattr(setup, "maybe_enable_token_auth_if_token_available"):
            # Ray does so for a cluster that it has found itself, and not for one that is named.
            setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        try:
            setup.ensure_token_if_auth_enabled(create_token_if_missing=False)
            with _silenced_stderr():
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
def _silenced_stderr() -> Iterator[None]:
    """What Ray's own code writes past Python to stderr is dropped."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
