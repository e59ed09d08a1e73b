"""Joining the Ray cluster at ``--address``: why that is impossible is found out in seconds.

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


def join(address: str, options: Mapping[str, Any]) -> None:
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
