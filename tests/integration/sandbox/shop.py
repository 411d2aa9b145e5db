"""A shop's webhook address for tests: keeps what arrives and refuses as many as it is told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Shop:
    """Deliveries as they arrived: (headers, raw body). The first `refusing` get 500 and are not kept."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[dict[str, str], bytes]] = []
        self.refusing = 0
        self.refused = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhooks"

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.deliveries]

    def types(self) -> list[str]:
        return [event["type"].removeprefix("payment_intent.") for event in self.events()]


@contextmanager
def open_shop() -> Iterator[Shop]:
    """The address answers inside the block."""
    shop = Shop()
    turn = threading.Lock()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with turn:
                if shop.refused < shop.refusing:
                    shop.refused += 1
                    status = 500
                else:
                    shop.deliveries.append((dict(self.headers), body))
                    status = 204
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    shop.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
