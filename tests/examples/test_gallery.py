"""The gallery: scripts that say what they show, and run as notebooks too. ``make gallery`` runs them all."""

from __future__ import annotations

import ast
import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "examples/gallery").glob("plot_*.py"))


def test_every_script_has_its_place() -> None:
    order = runpy.run_path(str(ROOT / "docs/_ext/gallery.py"))["ORDER"]
    assert sorted(order) == [script.stem.removeprefix("plot_") for script in SCRIPTS]
    assert len(order) == len(set(order)) >= 16


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_has_a_title_steps_and_one_picture(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    title, line, blank, *said = (ast.get_docstring(ast.parse(text)) or "").splitlines()
    assert line == "=" * len(title) and not blank and said
    assert text.count("\n# %%\n") >= 2
    assert text.count("plt.show()") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own_csv", "cold_start", "debugger"])
def test_a_script_runs_as_the_notebook_that_is_downloaded(name: str, tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebooks = pytest.importorskip("sphinx_gallery.notebook")
    from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF
    from sphinx_gallery.py_source_parser import split_code_and_text_blocks

    script = ROOT / f"examples/gallery/plot_{name}.py"
    _, blocks = split_code_and_text_blocks(str(script))
    made = notebooks.jupyter_notebook(blocks, dict(DEFAULT_GALLERY_CONF), str(tmp_path))
    notebook = nbformat.reads(json.dumps(made), as_version=4)
    kernel = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    )
    kernel.execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 1
