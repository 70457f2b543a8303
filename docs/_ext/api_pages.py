"""The pages of the API reference: one for each public module, one for each public name, written before Sphinx reads.

Each name is described once, in the package that it belongs to; other packages that also offer it link there.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import GenericAlias, ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import recokit

FOLDER = "reference/api"


@dataclass(frozen=True)
class Entry:
    """A public name: where it is described, and what it is."""

    module: str
    name: str
    value: Any

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def directive(self) -> str:
        if isinstance(self.value, GenericAlias):
            return "autodata"
        if inspect.isclass(self.value):
            return "autoexception" if issubclass(self.value, BaseException) else "autoclass"
        return "autofunction" if callable(self.value) and hasattr(self.value, "__name__") else "autodata"

    @property
    def comment(self) -> str:
        """Return what stands above a constant in the module that it comes from: its value has no docstring."""
        home = _imports(self.module).get(self.name, self.module)
        return " ".join(ModuleAnalyzer.for_module(home).find_attr_docs().get(("", self.name), []))

    @property
    def summary(self) -> str:
        if self.directive == "autodata":
            return self.comment
        return (inspect.getdoc(self.value) or "").split("\n\n")[0].replace("\n", " ")


def public_modules() -> list[str]:
    """Return ``recokit`` and its public modules that offer names."""
    names = [
        f"recokit.{found.name}" for found in pkgutil.iter_modules(recokit.__path__) if found.name[0] != "_"
    ]
    return ["recokit", *(name for name in names if public_names(importlib.import_module(name)))]


def public_names(module: ModuleType) -> list[str]:
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", "") == module.__name__
        ]
    return sorted(name for name in names if name[0] != "_" and not inspect.ismodule(getattr(module, name)))


def entries() -> dict[str, list[Entry]]:
    """Return what each public module offers; the entry's own module is where it is described."""
    offered = {module: public_names(importlib.import_module(module)) for module in public_modules()}
    homes: dict[int, str] = {}
    for module, names in offered.items():
        for name in names:
            value = getattr(importlib.import_module(module), name)
            lies_in = str(getattr(value, "__module__", ""))
            own = lies_in == module or lies_in.startswith(f"{module}.")
            if id(value) not in homes or homes[id(value)] == "recokit" or (own and module != "recokit"):
                homes[id(value)] = module
    return {
        module: [
            Entry(homes[id(value)], name, value)
            for name in names
            for value in [getattr(importlib.import_module(module), name)]
        ]
        for module, names in offered.items()
    }


@functools.cache
def _imports(module: str) -> dict[str, str]:
    """Return the module that each imported name comes from, those imported for type checkers too."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or module for node in found for alias in node.names}


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n\n"


def module_page(module: str, found: list[Entry]) -> str:
    rows = "".join(f"   * - :doc:`{entry.name} <{entry.path}>`\n     - {entry.summary}\n" for entry in found)
    own = "".join(f"   {entry.name} <{entry.path}>\n" for entry in found if entry.module == module)
    return (
        _title(module)
        + f".. automodule:: {module}\n   :no-members:\n\n"
        + f".. currentmodule:: {module}\n\n"
        + f".. list-table::\n   :widths: 30 70\n   :class: api-names\n\n{rows}\n"
        + f".. toctree::\n   :hidden:\n\n{own}"
    )


def entry_page(entry: Entry) -> str:
    if entry.directive == "autodata":
        kind = type(entry.value).__name__
        text = f".. py:data:: {entry.path}\n   :type: {kind}\n\n   {entry.comment}\n"
        return _title(entry.path.removeprefix("recokit.")) + text
    options = ""
    if entry.directive in ("autoclass", "autoexception"):
        bases = "object, Exception, BaseException, tuple, dict, str, int, Protocol, Generic, Enum, Module"
        options = f"   :members:\n   :inherited-members: {bases}\n   :special-members: __call__\n"
    return (
        _title(entry.path.removeprefix("recokit."))
        + f".. currentmodule:: {entry.module}\n\n.. {entry.directive}:: {entry.name}\n{options}"
    )


def write(app: Sphinx) -> None:
    """Write the pages; those that did not change keep their time, so that Sphinx does not read them again."""
    folder = Path(app.srcdir) / FOLDER
    pages = {}
    for module, found in entries().items():
        pages[f"{module}.rst"] = module_page(module, found)
        pages |= {f"{entry.path}.rst": entry_page(entry) for entry in found if entry.module == module}
    modules = "".join(f"   {module}\n" for module in public_modules())
    pages["index.rst"] = (
        _title("API") + f"Every public name, by module.\n\n.. toctree::\n   :maxdepth: 1\n\n{modules}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir():
        if left.name not in pages:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
