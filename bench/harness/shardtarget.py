"""A target on the node's loopback address that knows of every request when it came and from which shard, and can begin to fail."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ShardTarget:
    """Answers `/SHARD`.

    Attributes:
        url: Where it is.
        times: By path: when requests came, Unix time.
        fails: Whether all requests fail from now on.
    """

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self.fails = False
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                target.times[self.path].append(time.time())
                self.send_response(500 if target.fails else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve(self) -> None:
        """Answer until closed."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_shard_target() -> Iterator[ShardTarget]:
    """A target until the end of the block."""
    target = ShardTarget()
    thread = threading.Thread(target=target.serve)
    thread.start()
    try:
        yield target
    finally:
        target.close()
        thread.join()
