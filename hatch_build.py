"""Build hook: compiles the kernels of recokit/_native and puts them into the wheel.

One wheel serves every Python, because the kernels do not know Python. Without a compiler the build asks for the
``ziglang`` package, which is one; with ``RECOKIT_NATIVE=0``, or on a platform without either, it makes a wheel of
Python alone and warns. ``RECOKIT_WHEEL=<platform tag>`` cross-builds (see ``make wheels``).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ZIG = "ziglang>=0.13"


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
        needed = "RECOKIT_WHEEL" in os.environ or not kernels.own_compiler()
        return [ZIG] if needed and kernels.zig_tag() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the wheel after its platform."""
        if self.target_name != "wheel" or os.environ.get("RECOKIT_NATIVE") == "0":
            return
        kernels = _compile_module(self.root)
        tag = os.environ.get("RECOKIT_WHEEL") or ("" if kernels.own_compiler() else kernels.zig_tag())
        if kernels.machine() not in kernels.LEVELS or not (tag or kernels.own_compiler()):
            self.app.display_warning(
                "recokit is built without compiled kernels: found no C compiler for this platform"
            )
            return
        if version == "editable":
            kernels.compile_kernels(Path(self.root) / "recokit" / "_native" / "lib", tag)
            return
        self._folder = tempfile.mkdtemp()
        libraries = kernels.compile_kernels(Path(self._folder), tag)
        build_data["force_include"].update(
            {str(path): f"recokit/_native/lib/{path.name}" for path in libraries}
        )
        build_data["pure_python"] = False
        platform_tag = tag or sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform_tag}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the compiled kernels that the wheel has now."""
        shutil.rmtree(getattr(self, "_folder", ""), ignore_errors=True)
