"""Whether a Ray cluster answers at ``--address``, found out in seconds. Knows nothing of Ray.

Ray itself waits for more than a minute, with noise of its own, for a cluster that is not there.
"""

from __future__ import annotations

import os
import socket

from skelcon.errors import UserError

ANSWER_SECONDS = 8.0
"""How long a connection, and then an answer to it, is waited for."""
PORT = 6379
"""Where the head of a cluster listens by default."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""How a client of HTTP/2, and so of gRPC, begins, with empty settings (RFC 9113, section 3.4)."""


def check_syntax(address: str) -> None:
    """Raise :class:`UserError` unless ``address`` is ``auto`` or ``HOST:PORT``."""
    if address == "auto":
        return
    if "://" in address:
        raise UserError(
            f"--address {address}: a study's driver has to see its results, so it runs on a node "
            "of the cluster and not through Ray's client: run this command there with --address "
            "auto, or send it there with 'ray job submit'"
        )
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 65536):
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
    try:
        with socket.create_connection((host.strip("[]"), int(port)), seconds) as connection:
            # With TLS only Ray knows what to say.
            if os.environ.get("RAY_USE_TLS", "0") not in ("", "0", "false", "False"):
                return
            connection.sendall(_PREFACE)
            # The server's first frame has to be settings: 3 bytes of length, then the type, 4.
            answer = b""
            while len(answer) < 4:
                more = connection.recv(64)
                if not more:
                    break
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
