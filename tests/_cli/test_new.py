"""`recokit new` writes a project that passes its own tests."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import recokit
from recokit._cli.main import main

ROOT = Path(recokit.__file__).resolve().parent.parent


@pytest.fixture
def project(tmp_path, capsys):
    assert main(["new", str(tmp_path / "My Shop")]) == 0
    return tmp_path / "My Shop"


def test_files_names_and_nothing_left_to_fill_in(project):
    names = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
    assert names >= {
        "pipeline.py",
        "stages.py",
        "Makefile",
        "Dockerfile",
        "README.md",
        ".github/workflows/ci.yml",
    }
    assert not [name for name in names if name.endswith(".txt") and name != "requirements.txt"]
    texts = {name: (project / name).read_text(encoding="utf-8") for name in names}
    assert not [name for name, text in texts.items() if "{{" in text]
    assert texts["README.md"].startswith("# my-shop\n")
    assert recokit.__version__ in texts["requirements.txt"]
    for name in names:
        if name.endswith(".py"):
            ast.parse(texts[name])


def test_nothing_is_written_over(project, capsys):
    before = (project / "pipeline.py").read_bytes()
    assert main(["new", str(project)]) == 2
    assert "there already" in capsys.readouterr().err
    assert (project / "pipeline.py").read_bytes() == before


def test_the_dockerfile_has_no_known_fault(project):
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), project / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_project_passes_its_own_tests_and_checks_in_a_clean_home(project, tmp_path):
    (tmp_path / "home").mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    (project / ".venv").mkdir()
    (project / ".venv" / ".installed").touch()  # this environment is the one it runs in
    done = subprocess.run(
        ["make", "test", "model", "evaluate", "preflight", f"BIN={Path(sys.executable).parent}"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
    assert "Launch checklist" in (project / "preflight.html").read_text(encoding="utf-8")
