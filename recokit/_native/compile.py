"""Compile the C kernels: run by the build of a wheel, and by hand after a change of C code.

Needs the standard library only, so that a build backend can load it by its path.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
#: Compiler options of each level. Levels differ in the width of their vectors only: sums are never regrouped and
#: never fused, so that every level gives the same bits.
LEVELS: dict[str, dict[str, list[str]]] = {
    "x86_64": {"x86_64_v2": ["-march=x86-64-v2"], "x86_64_v3": ["-march=x86-64-v3"]},
    "aarch64": {"aarch64": []},
}
FLAGS = ["-std=c11", "-O3", "-fno-math-errno", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror=implicit"]
#: The platforms of `make wheels`: tag of the wheel, target of zig, machine.
TARGETS = {
    "manylinux_2_17_x86_64": ("x86_64-linux-gnu.2.17", "x86_64"),
    "manylinux_2_17_aarch64": ("aarch64-linux-gnu.2.17", "aarch64"),
    "musllinux_1_2_x86_64": ("x86_64-linux-musl", "x86_64"),
    "musllinux_1_2_aarch64": ("aarch64-linux-musl", "aarch64"),
    "macosx_11_0_arm64": ("aarch64-macos.11.0", "aarch64"),
    "macosx_11_0_x86_64": ("x86_64-macos.11.0", "x86_64"),
    "win_amd64": ("x86_64-windows-gnu", "x86_64"),
}


def machine() -> str:
    """Return this machine's architecture, one of the keys of LEVELS or another name."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


def own_compiler() -> list[str] | None:
    """Return the command of the compiler that ``CC`` names or the path holds, or None."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    return [found] if found else None


def zig() -> list[str] | None:
    """Return the command of the compiler inside the ``ziglang`` package, or None."""
    return [sys.executable, "-m", "ziglang", "cc"] if importlib.util.find_spec("ziglang") else None


def library_suffix(target: str = "") -> str:
    """Return the ending of a shared library's name on the target, by default on this machine."""
    system = target or sys.platform
    if "windows" in system or system == "win32":
        return ".dll"
    return ".dylib" if "macos" in system or system == "darwin" else ".so"


def compile_kernels(
    folder: Path,
    compiler: Sequence[str],
    *,
    arch: str | None = None,
    target: str = "",
    flags: Iterable[str] = (),
) -> list[Path]:
    """Compile the kernels of one architecture, one library a level, and return their paths.

    Parameters
    ----------
    folder : Path
        Where the libraries go; it is made when it is missing.
    compiler : sequence of str
        The compiler's command.
    arch : str, optional
        One of LEVELS, by default this machine's.
    target : str, default ""
        A target of zig.
    flags : iterable of str
        Further options, such as ``-fsanitize=address``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(path) for path in (HERE / "c").glob("*.c"))
    suffix = library_suffix(target)
    position = [] if suffix == ".dll" else ["-fPIC"]
    libraries = []
    for level, options in LEVELS.get(arch or machine(), {}).items():
        library = folder / f"kernels_{level}{suffix}"
        # Under its own name only when it is whole: another process may be loading it.
        draft = library.with_name(f".{os.getpid()}_{library.name}")
        where = ["-target", target] if target else []
        command = [
            *compiler,
            *where,
            *FLAGS,
            *options,
            *position,
            *flags,
            "-shared",
            *sources,
            "-o",
            str(draft),
        ]
        try:
            subprocess.run([*command, *([] if suffix == ".dll" else ["-lm"])], check=True)
            draft.replace(library)
        finally:
            draft.unlink(missing_ok=True)
        libraries.append(library)
    return libraries


def main() -> None:
    """Compile for this machine, into the package."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("flags", nargs="*", help="further options of the compiler, after --")
    parser.add_argument("--folder", type=Path, default=HERE / "lib")
    options = parser.parse_args()
    compiler = own_compiler() or zig()
    if compiler is None:
        sys.exit("found no C compiler; expected cc, gcc or clang on the path, or the package ziglang")
    for library in compile_kernels(options.folder, compiler, flags=options.flags):
        print(library)


if __name__ == "__main__":
    main()
