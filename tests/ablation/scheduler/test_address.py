"""Addresses at which a cluster answers or does not, which is known in seconds and without Ray."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from ablation.scheduler import address
from skelcon.errors import UserError

SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""The frame with which a server of HTTP/2 begins."""


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """Answers each connection with the parameter; sends nothing for None."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []

        def serve() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            if request.param is not None:
                connection.sendall(request.param)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()
        for connection in held:
            connection.close()


@pytest.mark.parametrize("server", [SETTINGS], indirect=True)
def test_a_cluster_that_answers_is_accepted(server: str) -> None:
    address.check_answers(server, "auto", 5.0)


@pytest.mark.parametrize("server", [b"HTTP/1.1 400 Bad Request\r\n\r\n"], indirect=True)
def test_something_else_that_listens_is_named(server: str) -> None:
    with pytest.raises(UserError, match=rf"--address auto \({server}\): something else listens"):
        address.check_answers(server, "auto", 5.0)


@pytest.mark.parametrize("server", [None], indirect=True)
def test_a_server_that_sends_nothing_is_an_error_in_time(server: str) -> None:
    began = time.monotonic()
    with pytest.raises(UserError, match=f"no Ray cluster answers at --address {server}: timed out"):
        address.check_answers(server, server, 0.3)
    assert time.monotonic() - began < 5


def test_a_closed_port_and_an_unknown_host_are_errors() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(UserError, match="Connection refused; is its head up"):
        address.check_answers(free, free, 1.0)
    with pytest.raises(UserError, match="no Ray cluster answers at --address nohost"):
        address.check_answers("nohost.invalid:6379", "nohost.invalid:6379", 1.0)


@pytest.mark.parametrize("wrong", ["head", "head:", ":6379", "head:port", "head:70000", "", "8"])
def test_an_invalid_address_is_refused(wrong: str) -> None:
    with pytest.raises(UserError, match="give auto, or HOST:PORT such as head:6379"):
        address.check_syntax(wrong)


def test_an_address_of_rays_client_is_refused() -> None:
    with pytest.raises(UserError, match="run this command there with --address auto"):
        address.check_syntax("ray://head:10001")
    address.check_syntax("auto")
    address.check_syntax("[::1]:6379")
