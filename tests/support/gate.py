"""A proxy to a server that can be shut and reopened at any time."""

import socket
import threading
from contextlib import suppress


class Gate:
    """A proxy to a server that can be shut at any time."""

    def __init__(self, address: str) -> None:
        host, port = address.removeprefix("http://").split(":")
        self._to, self._open = (host, int(port)), [socket.create_server(("127.0.0.1", 0))]
        self.address = f"http://127.0.0.1:{self._open[0].getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def reopen(self) -> None:
        host, port = self.address.removeprefix("http://").split(":")
        self._open = [socket.create_server((host, int(port)))]
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        for opened in self._open:
            with suppress(OSError):  # its other end may be gone
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it was shut
            while True:
                near, far = self._open[0].accept()[0], socket.create_connection(self._to)
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
