"""A real server for the tests of the service on one."""

from tests.stores.conftest import server, shared_server

__all__ = ["server", "shared_server"]
