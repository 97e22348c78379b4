"""A way to a server that breaks when a test wants it to."""

import select
import socket
import threading
from contextlib import closing, suppress
from urllib.parse import urlsplit

from tools.postgres.cluster import HOST

_COMMIT = b"COMMIT\x00"
_BYTES = 65_536


class CuttingProxy:
    """Passes bytes on; connections are cut all at once, or at the next commit that passes.

    Only for addresses without TLS: it looks for the word in what clients send.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        parts = urlsplit(address)
        self._target = (parts.hostname or HOST, parts.port or 5432)
        self._listener = socket.create_server((HOST, 0))
        self._cut_at: bool | None = None
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The address through here."""
        parts = urlsplit(self._address)
        user = parts.netloc.rpartition("@")[0]
        port = self._listener.getsockname()[1]
        return parts._replace(netloc=f"{user}@{HOST}:{port}").geturl() + "&sslmode=disable"

    def cut_at_commit(self, *, reaches: bool) -> None:
        """Cut the connection of the next COMMIT; the server gets it, or does not."""
        self._cut_at = reaches

    def cut(self) -> None:
        """Cut every connection."""
        for one in self._open:
            _end(one)
        self._open.clear()

    def close(self) -> None:
        _end(self._listener)
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(self._target)
                self._open += [client, server]
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with closing(client), closing(server), suppress(OSError, ValueError):
            while True:
                for one in select.select([client, server], [], [])[0]:
                    if not self._pass_on(one, client, server):
                        return

    def _pass_on(self, one: socket.socket, client: socket.socket, server: socket.socket) -> bool:
        data = one.recv(_BYTES)
        if one is server:
            client.sendall(data)
        elif _COMMIT not in data or self._cut_at is None:
            server.sendall(data)
        else:
            reaches, self._cut_at = self._cut_at, None
            if reaches:
                server.sendall(data)
                _await_commit(client, server)
            return False
        return bool(data)


def _await_commit(client: socket.socket, server: socket.socket) -> None:
    """Until the server has answered, which the client never gets to know."""
    answer = b""
    while _COMMIT not in answer:
        for one in select.select([client, server], [], [])[0]:
            data = one.recv(_BYTES)
            if not data:
                return
            if one is server:
                answer += data
            else:
                server.sendall(data)  # the rest of its message


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
