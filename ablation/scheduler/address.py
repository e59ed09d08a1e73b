"""Connecting to the Ray cluster at ``--address``; an error is reported within seconds.

Ray itself waits for more than a minute for a cluster that is not there, with messages of its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from skelcon.errors import UserError

ANSWER_SECONDS = 8.0
"""Seconds to wait for a connection, and then for an answer."""
PORT = 6379
"""Where the head of a cluster listens by default."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""What a client of HTTP/2, and so of gRPC, sends first: empty settings (RFC 9113, section 3.4)."""


def check_syntax(address: str) -> None:
    """Raise :class:`UserError` unless ``address`` is ``auto`` or ``HOST:PORT``."""
    if "://" in address:
        raise UserError(
            f"--address {address}: a study's driver has to see its results, so it runs on a node "
            "of the cluster and not through Ray's client: run this command there with --address "
            "auto, or send it there with 'ray job submit'"
        )
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise UserError(f"--address {address}: give auto, or HOST:PORT such as head:{PORT}")


def check_answers(address: str, named: str, seconds: float = ANSWER_SECONDS) -> None:
    """Raise :class:`UserError` if no cluster answers at ``address``.

    Args:
        address: ``HOST:PORT``.
        named: what the user gave for it.
        seconds: how long to wait for a connection, and for an answer.
    """
    where = named if named == address else f"{named} ({address})"
    host, _, port = address.rpartition(":")
    answer = b""
    try:
        with socket.create_connection((host.strip("[]"), int(port)), seconds) as connection:
            # With TLS only Ray itself can ask.
            if os.environ.get("RAY_USE_TLS", "0") not in ("", "0", "false", "False"):
                return
            connection.sendall(_PREFACE)
            # The server's first frame has to be settings: 3 bytes of length, then the type, 4.
            while len(answer) < 4 and (more := connection.recv(64)):
                answer += more
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(
            f"no Ray cluster answers at --address {where}: {reason}; is its head up, and the port "
            f"({PORT} by default) open to this machine?"
        ) from None
    if answer[3:4] != b"\x04":
        raise UserError(
            f"no Ray cluster answers at --address {where}: something else listens there; give the "
            f"address that 'ray start --head' printed, HOST:{PORT} by default"
        )


def connect(address: str, **options: object) -> None:
    """Connect to the cluster at ``address``; :class:`UserError` if it does not answer.

    Args:
        address: ``--address``.
        options: further ones of ``ray.init``.
    """
    import ray

    # For auto this is RAY_ADDRESS or the cluster of this machine. Ray has no public function for
    # it; in a version without the private one, ``ray.init`` resolves the address itself.
    services = getattr(ray._private, "services", None)
    resolve = getattr(services, "canonicalize_bootstrap_address", lambda given: given)
    try:
        found = resolve(address)
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
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"no Ray cluster answers at --address {address}: {reason}") from None


def _check_token(found: str, address: str) -> None:
    """Raise :class:`UserError` if the cluster requires another token than this process has.

    Ray itself tries for 20 seconds and then reports that it cannot connect. It has no public check
    of a token; in a version without the private one its own report has to do.
    """
    import ray

    with contextlib.suppress(ImportError, AttributeError):
        from ray._private.authentication import authentication_token_setup as setup
        from ray.exceptions import AuthenticationError, RayError

        if address == "auto" and hasattr(setup, "maybe_enable_token_auth_if_token_available"):
            # Ray does so only for a cluster that it has found itself.
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
    """Drop what Ray's C++ code writes to stderr in this block."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
