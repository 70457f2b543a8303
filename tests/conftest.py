"""What all tests share: where the data sets are, and how hypothesis runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# On small data the threads of BLAS and OpenMP wait for each other longer than they work, and on a busy machine spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent

# Shared machines pause for longer than any deadline. A run in CI draws the same examples each time, so that a change is
# judged by what it changed.
settings.register_profile("local", deadline=None, print_blob=True)
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that read the data sets, so that ``-m "not data"`` needs no list of its own."""
    for item in items:
        if "data_dir" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.data)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of the data sets: ``RECOKIT_DATA``, else ``../shared/data`` beside the repository."""
    named = os.environ.get("RECOKIT_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if folder.is_dir():
        return folder
    reason = f"no data sets at {folder}; set RECOKIT_DATA to their folder (see CONTRIBUTING.md)"
    if named or os.environ.get("CI"):
        # Asked for, or promised: a green run must not hide that nothing was read.
        pytest.fail(reason)
    pytest.skip(reason)
