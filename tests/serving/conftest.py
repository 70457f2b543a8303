"""A real server for the tests of streams: the one that the tests of stores start."""

from tests.stores.conftest import own_server, server, shared_server

__all__ = ["own_server", "server", "shared_server"]
