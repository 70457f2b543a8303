"""The compiled kernels: found, matched to the processor and loaded when first used.

``RECOKIT_NATIVE`` decides: ``0`` never loads them (the numpy form of each kernel runs), ``require`` makes their absence
an error, and so does a folder, which holds other libraries than the package's own, such as sanitized ones. Without it
they are used where they are.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from recokit._native.compile import LEVELS, declarations, library_suffix, machine
from recokit.errors import ConfigurationError

_HERE = Path(__file__).parent


@cache
def kernels() -> Any:
    """Return the loaded library, whose attributes are the functions of ``kernels.h``, or None without one.

    Raises
    ------
    ConfigurationError
        ``RECOKIT_NATIVE`` is ``require`` or a folder, and there is no library for this machine.
    """
    wish = os.environ.get("RECOKIT_NATIVE", "")
    if wish == "0":
        return None
    if levels():
        return load(levels()[-1])
    if wish:
        raise ConfigurationError(
            f"RECOKIT_NATIVE={wish}, and found no compiled kernels for {machine()} in {_folder()}; "
            "hint: install a wheel for this platform, or run python -m recokit._native.compile with a C compiler"
        )
    return None


def load(level: str) -> Any:
    """Return the library of one of the levels.

    Raises
    ------
    ConfigurationError
        It was compiled from other declarations than the package's: its functions would read wild memory.
    """
    library = ffi().dlopen(str(_path(level)))
    if getattr(library, "rk_declarations", int)() != declarations():
        raise ConfigurationError(
            f"found compiled kernels in {_path(level)} of other declarations; expected those of this version; "
            "hint: make native, or python -m recokit._native.compile"
        )
    return library


@cache
def ffi() -> Any:
    """Return the declarations of the kernels, read once."""
    from cffi import FFI

    declarations = FFI()
    declarations.cdef((_HERE / "c" / "kernels.h").read_text())
    return declarations


def level() -> str:
    """Return what runs: a level such as ``x86_64_v3``, or ``numpy``."""
    return "numpy" if kernels() is None else levels()[-1]


def check(status: int) -> None:
    """Raise the error that a kernel's status stands for."""
    if status == -1:
        raise MemoryError("a compiled kernel found no memory for its scratch space")
    if status:
        raise IndexError(f"a compiled kernel found an index outside its array (status {status})")


def _folder() -> Path:
    wish = os.environ.get("RECOKIT_NATIVE", "")
    return _HERE / "lib" if wish in ("", "0", "require") else Path(wish)


@cache
def levels() -> tuple[str, ...]:
    """Return the levels that are built and that this processor runs, the best last."""
    built = [level for level in LEVELS.get(machine(), ()) if _path(level).exists()]
    if machine() != "x86_64" or not built:
        return tuple(built)
    supported = load(built[0]).rk_cpu_level()
    return tuple(level for level in built if int(level[-1]) <= supported)


def _path(level: str) -> Path:
    return _folder() / f"kernels_{level}{library_suffix()}"
