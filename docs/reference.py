"""Write the API reference into docs/api: ``make docs`` calls this before it builds the pages."""

from __future__ import annotations

import pkgutil
from pathlib import Path

import pdoc

import recokit

# pdoc reads a module's own dictionary and never asks it for a name, so the lazy names are put there first.
vars(recokit).update({name: getattr(recokit, name) for name in recokit.__all__})

public = [module.name for module in pkgutil.iter_modules(recokit.__path__) if not module.name.startswith("_")]
pdoc.render.configure(docformat="numpy")
pdoc.pdoc(
    "recokit",
    # A module that stands in __all__ is found through the package.
    *(f"recokit.{name}" for name in public if name not in recokit.__all__),
    output_directory=Path(__file__).parent / "api",
)
