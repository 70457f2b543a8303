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
import sysconfig
import zlib
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
#: The levels of each architecture, the best last. They differ in the width of their vectors only: sums are never
#: regrouped and never fused, so that every level gives the same bits.
LEVELS = {"x86_64": ("x86_64_v2", "x86_64_v3"), "aarch64": ("aarch64",)}
FLAGS = ["-std=c11", "-O3", "-fno-math-errno", "-ffp-contract=off", "-Wall", "-Wextra"]
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


def zig_tag() -> str:
    """Return the platform tag, one of TARGETS, of a wheel that zig compiles for this machine, or an empty string."""
    arch = machine()
    if sys.platform == "linux":
        libc = (
            "musllinux_1_2" if "musl" in str(sysconfig.get_config_var("HOST_GNU_TYPE")) else "manylinux_2_17"
        )
        tag = f"{libc}_{arch}"
    else:
        tag = {
            ("darwin", "aarch64"): "macosx_11_0_arm64",
            ("darwin", "x86_64"): "macosx_11_0_x86_64",
            ("win32", "x86_64"): "win_amd64",
        }.get((sys.platform, arch), "")
    return tag if tag in TARGETS else ""


def library_suffix(target: str = "") -> str:
    """Return the ending of a shared library's name on the target, by default on this machine."""
    system = target or sys.platform
    if "windows" in system or system == "win32":
        return ".dll"
    return ".dylib" if "macos" in system or system == "darwin" else ".so"


def declarations() -> int:
    """Return the CRC-32 of the kernels' declarations, which each library remembers."""
    return zlib.crc32((HERE / "c" / "kernels.h").read_bytes())


def compile_kernels(folder: Path, tag: str = "", flags: Iterable[str] = ()) -> list[Path]:
    """Compile the kernels, one library a level, and return their paths.

    Parameters
    ----------
    folder : Path
        Where the libraries go; it is made when it is missing.
    tag : str, default ""
        A platform of TARGETS, compiled for with zig; by default this machine, with its own compiler.
    flags : iterable of str
        Further options, such as ``-fsanitize=address``.
    """
    compiler = zig() if tag else own_compiler()
    if compiler is None:
        raise FileNotFoundError(
            "found no C compiler; expected cc, gcc or clang on the path, or the package ziglang"
        )
    target, arch = TARGETS.get(tag, ("", machine()))
    suffix = library_suffix(target)
    sources = sorted(str(path) for path in (HERE / "c").glob("*.c"))
    rest = [
        f"-DRK_DECLARATIONS={declarations()}u",
        *flags,
        "-shared",
        *sources,
        *(["-fPIC", "-lm"] if suffix != ".dll" else []),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    libraries = []
    for level in LEVELS.get(arch, ()):
        library = folder / f"kernels_{level}{suffix}"
        # Under its own name only when it is whole: another process may be loading it.
        draft = library.with_name(f".{os.getpid()}_{library.name}")
        try:
            subprocess.run(
                [*compiler, *FLAGS, *_level_options(level, target), *rest, "-o", str(draft)], check=True
            )
            draft.replace(library)
        finally:
            draft.unlink(missing_ok=True)
        libraries.append(library)
    return libraries


def _level_options(level: str, target: str) -> list[str]:
    if target:
        # zig names levels its own way, and checks for undefined behaviour unless told not to.
        cpu = [f"-mcpu={level}"] if level.startswith("x86_64") else []
        return ["-target", target, *cpu, "-fno-sanitize=undefined"]
    return [f"-march={level.replace('_', '-')}"] if level.startswith("x86_64") else []


def main() -> None:
    """Compile for this machine, into the package."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("flags", nargs="*", help="further options of the compiler, after --")
    parser.add_argument("--folder", type=Path, default=HERE / "lib")
    options = parser.parse_args()
    for library in compile_kernels(options.folder, "" if own_compiler() else zig_tag(), options.flags):
        print(library)


if __name__ == "__main__":
    main()
