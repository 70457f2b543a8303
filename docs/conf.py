"""How Sphinx builds the site: Markdown pages, the API reference from docstrings, the gallery from scripts."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs/_ext")]

import recokit  # noqa: E402

_project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "recokit"
version = release = recokit.__version__
copyright = "the recokit developers"
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "api_pages",
]
exclude_patterns = [
    "_ext",
    "gallery/*.ipynb",
    "gallery/*.py",
    "sg_execution_times.rst",
    "gallery/sg_execution_times.rst",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

# Docstrings are numpydoc; attributes and parameters are lists, so that no class has an attribute described twice.
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
add_module_names = False
viewcode_line_numbers = True
default_role = "code"
# A type written in words, "sources : list", is looked up as a name; that two classes have one is no fault.
suppress_warnings = ["ref.python"]

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_remove_prompts = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_",
    "ignore_pattern": "__",
    "within_subsection_order": "gallery.by_purpose",
    "reset_modules": ("matplotlib", "gallery.style"),
    "abort_on_example_error": True,
    "capture_repr": (),
    "image_srcset": ["2x"],
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 60,
}

html_theme = "pydata_sphinx_theme"
html_title = "recokit"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
# Where "Edit this page" leads: the address in pyproject.toml, or this variable's for a fork.
_repository = os.environ.get("RECOKIT_REPOSITORY") or _project.get("urls", {}).get("Repository", "")
html_context = {
    "edit_page_url_template": f"{_repository}/edit/main/docs/{{{{ file_name }}}}",
    "default_mode": "auto",
}
html_theme_options = {
    "logo": {"text": f"recokit {version}"},
    "use_edit_page_button": bool(_repository),
    "navbar_align": "left",
    "show_nav_level": 1,
    "navigation_depth": 3,
    "collapse_navigation": True,
    "show_toc_level": 2,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc", "edit-this-page"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
