"""Build hook: compiles the kernels of recokit/_native and puts them into the wheel.

One wheel serves every Python, because the kernels do not know Python. Without a compiler the build asks for the
``ziglang`` package, which is one; with ``RECOKIT_NATIVE=0``, or on a platform without either, it makes a wheel of
Python alone and warns. ``RECOKIT_WHEEL=<platform tag>`` cross-builds (see ``make wheels``).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ZIG = "ziglang>=0.13"
ZIG_PLATFORMS = ("linux", "darwin", "win32")


def _compile_module(root: str) -> ModuleType:
    # By its path: the package itself needs numpy, which a build does not install.
    spec = importlib.util.spec_from_file_location(
        "compile_kernels", Path(root) / "recokit" / "_native" / "compile.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class CustomBuildHook(BuildHookInterface):
    """Adds the compiled kernels to a wheel, or to the source tree of an editable install."""

    def dependencies(self) -> list[str]:
        """Return the compiler's package where it is needed and exists."""
        if self.target_name != "wheel" or os.environ.get("RECOKIT_NATIVE") == "0":
            return []
        kernels = _compile_module(self.root)
        cross = "RECOKIT_WHEEL" in os.environ
        exists = sys.platform.startswith(ZIG_PLATFORMS) and kernels.machine() in kernels.LEVELS
        return [ZIG] if exists and (cross or kernels.own_compiler() is None) else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the wheel after its platform."""
        if self.target_name != "wheel" or os.environ.get("RECOKIT_NATIVE") == "0":
            return
        kernels = _compile_module(self.root)
        tag = os.environ.get("RECOKIT_WHEEL", "")
        target, arch = kernels.TARGETS[tag] if tag else ("", kernels.machine())
        compiler = kernels.zig() if tag else kernels.own_compiler() or kernels.zig()
        if compiler is None or arch not in kernels.LEVELS:
            self.app.display_warning(
                f"recokit is built without compiled kernels: no C compiler, or {arch} is unknown"
            )
            return
        if version == "editable":
            kernels.compile_kernels(Path(self.root) / "recokit" / "_native" / "lib", compiler)
            return
        self._folder = tempfile.mkdtemp()
        libraries = kernels.compile_kernels(Path(self._folder), compiler, arch=arch, target=target)
        build_data["force_include"].update(
            {str(path): f"recokit/_native/lib/{path.name}" for path in libraries}
        )
        build_data["pure_python"] = False
        platform_tag = tag or sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform_tag}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the compiled kernels that the wheel has now."""
        shutil.rmtree(getattr(self, "_folder", ""), ignore_errors=True)
