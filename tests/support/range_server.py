"""A web server on this machine that serves parts of files, as object stores do, and can fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class RangeServer(ThreadingHTTPServer):
    """Serves bytes by name; counts the requests."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.ranges, self.requests = files, True, 0
        self.failing = range(0)  # requests that are not answered, by number

    @property
    def url(self) -> str:
        """Where its files are."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: RangeServer

    def do_GET(self) -> None:
        self.server.requests += 1
        if self.server.requests - 1 in self.server.failing:
            self.close_connection = True  # as a server that dies
            return
        content = self.server.files.get(self.path.lstrip("/"))
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if content is None:
            self.send_error(404)
            return
        part, whole = content, len(content)
        if wanted and self.server.ranges:
            first, last = int(wanted[1]), min(int(wanted[2]), whole - 1)
            part = content[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(part)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[RangeServer]:
    """Serve files while the block runs."""
    server = RangeServer(files)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
