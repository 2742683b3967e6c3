"""A target on the node's loopback address, for pods that share the node's network: it knows when every request came.

What a run says of its own end has to be true, so tests of stops ask whoever was loaded.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Target:
    """Answers `/CODE` with that status and anything else with 200, and remembers when it was asked.

    Attributes:
        url: Where it is.
        times: When each request came, Unix time.
        times_of: The same by path.
        fails: Whether all requests fail from now on.
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self.times_of: defaultdict[str, list[float]] = defaultdict(list)
        self.fails = False
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                now, word = time.time(), self.path.strip("/")
                target.times.append(now)
                target.times_of[self.path].append(now)
                self.send_response(500 if target.fails else int(word) if word.isdigit() else 200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked_since(self, moment: float) -> int:
        """How many requests have come since a moment, Unix time."""
        return sum(each > moment for each in self.times)

    def serve(self) -> None:
        """Answer until closed."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_target() -> Iterator[Target]:
    """A target until the end of the block."""
    target = Target()
    thread = threading.Thread(target=target.serve)
    thread.start()
    try:
        yield target
    finally:
        target.close()
        thread.join()
