"""What a container's health check says: the service's own answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from services.cli.probe import HOST, probe
from services.cli.server import free_port


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health/ready" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((HOST, 0), Answers) as server:
        Thread(target=server.handle_request, daemon=True).start()
        yield server.server_port


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False), (500, False)])
def test_a_service_is_ready_only_where_it_says_so_and_its_answer_is_shown(
    status: int, ready: bool
) -> None:
    with answering(status, b'{"partitions":{"0":"opening"}}') as port:
        assert probe(port) == (ready, '{"partitions":{"0":"opening"}}')


def test_one_that_does_not_answer_is_not_ready() -> None:
    port = free_port()
    ready, said = probe(port)

    assert not ready
    assert said.startswith(f"no answer on port {port}: ConnectionRefusedError")
