"""What is released: built, looked into, installed where nothing else is, and read by a type checker."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import recokit
from recokit._utils.moved import MOVED

ROOT = Path(__file__).resolve().parent.parent
VERSION = recokit.__version__


def call(command: Sequence[str | Path], cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_citation_and_changelog_are_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == VERSION
    assert re.search(r"^license: (.+)$", citation, re.MULTILINE)[1] == "Apache-2.0"
    headings = re.findall(r"^## \[(.+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased" if ".dev" in VERSION else VERSION in headings


def test_every_name_that_moved_is_on_the_page() -> None:
    page = (ROOT / "docs" / "reference" / "deprecations.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| [\d.]+ \| `(.+?)` \| `(.+?)` \|$", page, re.MULTILINE))
    assert rows == MOVED


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the wheel and the sdist, the wheel built from the sdist."""
    pytest.importorskip("build", reason="needs the extra recokit[release]")
    folder = tmp_path_factory.mktemp("dist")
    call([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.mark.slow
def test_metadata(built) -> None:
    call([sys.executable, "-m", "twine", "check", "--strict", *built], ROOT)
    wheel, sdist = built
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.namelist()
        about = archive.read(f"recokit-{VERSION}.dist-info/METADATA").decode()
        scripts = archive.read(f"recokit-{VERSION}.dist-info/entry_points.txt").decode()
    assert "License-Expression: Apache-2.0" in about
    assert "Requires-Python: >=3.11" in about
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(re.findall(r"^Provides-Extra: (.+)$", about, re.MULTILINE)) == set(
        project["optional-dependencies"]
    )
    assert "recokit = recokit._cli.main:main" in scripts
    assert {
        "recokit/py.typed",
        "recokit/_cli/project/pipeline.py.txt",
        "recokit/_cli/project/dot_gitignore.txt",
    } <= {*inside}
    assert not [name for name in inside if not name.startswith(("recokit/", f"recokit-{VERSION}.dist-info/"))]
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "README.md",
        "LICENSE",
        "CITATION.cff",
        "SECURITY.md",
        "tests/test_release.py",
        "hatch_build.py",
    } <= names
    assert not [name for name in names if name.startswith((".venv", "dist", "site")) or name.endswith(".pyc")]


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment's folder of programs: recokit is the wheel's, its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "env", with_pip=True)
    programs = folder / "env" / "bin"
    call([programs / "python", "-m", "pip", "install", "--quiet", "--no-deps", built[0]], folder)
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    own = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(own), encoding="utf-8")
    return programs


USERS = """
import recokit as rk
from recokit import candidates, rules

data = rk.testing.toy_dataset()
pipeline = rk.Pipeline([candidates.Popular(), rules.NotOwned()]).fit(data)
result = pipeline.recommend(["user-3"], k=5, now=data.until)
reveal_type(pipeline)
reveal_type(result)
reveal_type(result.trace.plot_latency)
reveal_type(rk.evaluate)
wrong: int = result.ids(0)
pipeline.recomend(["user-3"])
candidates.Popular(half_lif="7D")
"""


@pytest.mark.slow
def test_the_wheel_works_where_nothing_else_of_recokit_is(installed, tmp_path) -> None:
    where = call([installed / "python", "-c", "import recokit; print(recokit.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert call([installed / "recokit", "--version"], tmp_path) == f"recokit {VERSION}\n"
    call([installed / "recokit", "new", "shop"], tmp_path)
    code = "import sys; sys.path.insert(0, 'shop'); from pipeline import load_data; print(load_data())"
    assert "interactions" in call([installed / "python", "-c", code], tmp_path)


@pytest.mark.slow
def test_a_type_checker_finds_real_types(installed, tmp_path) -> None:
    (tmp_path / "users.py").write_text(USERS, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--python-executable",
        installed / "python",
        "--no-incremental",
        "users.py",
    ]
    done = subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 'Revealed type is "recokit.pipeline.pipeline.Pipeline"' in done.stdout
    assert 'Revealed type is "recokit.result.Recommendations"' in done.stdout
    assert 'Revealed type is "Any"' not in done.stdout
    lines = dict(re.findall(r"^users\.py:(\d+): error: (.+)$", done.stdout, re.MULTILINE))
    assert sorted(map(int, lines)) == [12, 13, 14], done.stdout
