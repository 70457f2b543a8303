"""The versions that a report of a fault needs."""

from __future__ import annotations

import platform
from importlib import metadata

from recokit._native import library

_PACKAGES = (
    "recokit",
    "numpy",
    "scipy",
    "scikit-learn",
    "faiss-cpu",
    "torch",
    "narwhals",
    "safetensors",
    "cffi",
)


def show_versions() -> None:
    """Print the versions of Python, of recokit and its packages, and which kernels run.

    Examples
    --------
    >>> show_versions()
    python: 3...
    kernels: ...
    """
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    versions |= {name: _version(name) for name in _PACKAGES}
    versions["kernels"] = library.level()
    print("\n".join(f"{name}: {version}" for name, version in versions.items()))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
