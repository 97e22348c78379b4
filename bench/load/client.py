"""One keep-alive connection whose own cost stays small beside what it measures."""

import http.client
import time
from typing import Self
from urllib.parse import urlencode, urlsplit

from bench.measurement import MeasurementError

SECONDS_MAX = 60.0


class Client:
    """One client; a context manager."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._connection = http.client.HTTPConnection(
            parts.hostname, parts.port, timeout=SECONDS_MAX
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> float:
        """Milliseconds from the request's first byte to the answer's last.

        Raises:
            MeasurementError: The answer was no success.
        """
        return self._exchange("GET", path, None)

    def recall(self, question: str) -> float:
        """As `get`, of the ten best memories for a question."""
        return self.get(f"/api/v1/recall?{urlencode({'context': question, 'limit': 10})}")

    def post(self, path: str, body: bytes) -> float:
        """As `get`, with a JSON body."""
        return self._exchange("POST", path, body)

    def _exchange(self, method: str, path: str, body: bytes | None) -> float:
        headers = {} if body is None else {"Content-Type": "application/json"}
        started = time.perf_counter()
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        took = time.perf_counter() - started
        if response.status >= http.client.MULTIPLE_CHOICES:
            raise MeasurementError(f"{method} {path}: {response.status} {answer[:200]!r}")
        return 1_000 * took
