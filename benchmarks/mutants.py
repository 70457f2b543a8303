"""Mutants: lines broken at random, and whether a test that covers the line notices.

A mutant is one edit that cosmic-ray's operators know (a comparison's edge, a number, `and` for `or`, a sign, a loop
that does not run) on a line drawn at random from the code. The tests that cover the line run, the fastest first, until
one fails. Which tests cover a line is recorded once, by a run of the tests with coverage contexts, and kept in
`.mutants/` until one of their files or of the code's changes.

    python -m benchmarks.mutants recokit/rules -n 40 --seed 1     # the package's own tests judge it
    python -m benchmarks.mutants recokit -n 300 --seed 7 --all-tests --minutes 8     # every test; again to go on

Mutated code is never written to the tree: each mutant runs in a forked process that reads the edited source.
"""

from __future__ import annotations

import argparse
import ast
import functools
import hashlib
import importlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".mutants"
#: Operators whose edits no test can see, or that need arguments.
LEFT_OUT = ("VariableInserter", "VariableReplacer")
#: Seconds of covering tests that one mutant is worth, and how much longer than usual they may take.
MAX_SECONDS, PATIENCE = 60.0, 4.0
#: Imported before the first fork, so that no mutant pays for them; faiss and torch do not survive a fork, and pytest
#: warns of plugins such as hypothesis that are there before it.
WARM = (
    "numpy",
    "scipy.sparse",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "pytest",
    "pyarrow",
)


@dataclass(frozen=True)
class Mutant:
    """One edit of one file."""

    path: str
    line: int
    operator: str
    occurrence: int

    @functools.cached_property
    def source(self) -> str:
        """The file with the edit."""
        from cosmic_ray.mutating import mutate_code

        edited = mutate_code(
            (ROOT / self.path).read_text(encoding="utf-8"), _operator(self.operator), self.occurrence
        )
        assert edited is not None
        return str(edited)

    def diff(self) -> str:
        """Return the line before and after."""
        before = (ROOT / self.path).read_text(encoding="utf-8").splitlines()
        after = self.source.splitlines()
        changed = [i for i, (old, new) in enumerate(zip(before, after, strict=False)) if old != new]
        return (
            f"- {before[changed[0]].strip()}\n    + {after[changed[0]].strip()}"
            if changed
            else "(no line changed)"
        )


#: Line and column, as the parser counts them.
Position = tuple[int, int]

# -- drawing ---------------------------------------------------------------------------------------


@functools.cache
def _operators() -> dict[str, list[str]]:
    """Return the names of the operators by family."""
    import cosmic_ray.plugins

    families: dict[str, list[str]] = {}
    for name in sorted(cosmic_ray.plugins.operator_names()):
        family = re.sub(r"(Operator)_.*", r"\1", name.partition("/")[2])
        if family not in LEFT_OUT:
            families.setdefault(family, []).append(name)
    return families


@functools.cache
def _operator(name: str) -> Any:
    import cosmic_ray.plugins

    return cosmic_ray.plugins.get_operator(name)()


def code_lines(path: Path) -> list[int]:
    """Return the lines of a file that run: no blanks, comments, docstrings, annotations alone or imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Raise):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.stmt) and not isinstance(node, ast.ClassDef):
            body = getattr(node, "body", None)
            end = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno or node.lineno
            lines |= set(range(node.lineno, end + 1))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        ):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sorted(lines)


def _not_code(path: Path) -> list[tuple[Position, Position]]:
    """Return the spans of annotations, which never run."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    parts = [getattr(node, name, None) for node in nodes for name in ("annotation", "returns")]
    return [
        ((part.lineno, part.col_offset), (part.end_lineno or 0, part.end_col_offset or 0))
        for part in parts
        if isinstance(part, ast.expr)
    ]


def _binary_operators(path: Path) -> list[tuple[Position, Position]]:
    """Return the gaps between the sides of arithmetic: the `*` of a signature or a call is no operator."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [
        (
            (node.left.end_lineno or 0, node.left.end_col_offset or 0),
            (node.right.lineno, node.right.col_offset),
        )
        for node in nodes
        if isinstance(node, ast.BinOp)
    ]


@functools.cache
def mutants_of(path: Path) -> dict[int, dict[str, list[Mutant]]]:
    """Return every mutant of a file, by line and family of operator."""
    from cosmic_ray.ast import ast_nodes, get_ast

    tree, spans, runs = get_ast(path.read_text(encoding="utf-8")), _not_code(path), set(code_lines(path))
    gaps = _binary_operators(path)
    nodes = list(ast_nodes(tree))
    found: dict[int, dict[str, list[Mutant]]] = {}
    for family, names in _operators().items():
        for name in names:
            occurrence = 0
            for node in nodes:
                for start, _ in _operator(name).mutation_positions(node):
                    typed = any(first <= start < last for first, last in spans)
                    other = family == "ReplaceBinaryOperator" and not any(a <= start < b for a, b in gaps)
                    if start[0] in runs and not typed and not other:
                        mutant = Mutant(path.relative_to(ROOT).as_posix(), start[0], name, occurrence)
                        found.setdefault(start[0], {}).setdefault(family, []).append(mutant)
                    occurrence += 1
    return found


def draw(files: Sequence[Path], n: int, seed: int) -> list[Mutant]:
    """Draw mutants: a line at random of all lines that run, then a family of operators, then an edit."""
    rng = random.Random(seed)
    lines = [(path, line) for path in files for line in code_lines(path)]
    rng.shuffle(lines)
    drawn: list[Mutant] = []
    for path, line in lines:
        if len(drawn) == n:
            break
        families = mutants_of(path).get(line)
        if families:
            drawn.append(rng.choice(families[rng.choice(sorted(families))]))
    return drawn


# -- which tests cover a line ------------------------------------------------------------------------


def tests_of(package: Path) -> list[str]:
    """Return where the tests of a package lie: its mirror, and its doctests."""
    place = package.relative_to(ROOT)
    mirror = ROOT / "tests" / place.relative_to("recokit")
    if package.is_file():
        mirror = mirror.parent
    return [str(part.relative_to(ROOT)) for part in (mirror, package) if part.exists()]


class Coverage:
    """Which tests ran which line, how long they take."""

    def __init__(self, code: Sequence[Path], targets: Sequence[str], jobs: int) -> None:
        files = sorted({*code, *(path for target in targets for path in _python_files(ROOT / target))})
        content = [(str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
        self.folder = CACHE / hashlib.sha256(repr((content, list(targets))).encode()).hexdigest()[:16]
        if not (self.folder / "done").exists():
            self._record(targets, jobs)
        self.seconds: dict[str, float] = json.loads((self.folder / "seconds.json").read_text())
        from coverage import CoverageData

        self.data = CoverageData(str(self.folder / "coverage"))
        self.data.read()

    def _record(self, targets: Sequence[str], jobs: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "rc").write_text("[run]\nsource = recokit\ndynamic_context = none\n")
        report = self.folder / "junit.xml"
        command = [sys.executable, "-m", "pytest", *targets, "-q", "-p", "no:cacheprovider"]
        command += [
            "-m",
            "not slow and not long and not browser",
            f"--junitxml={report}",
            "--cov=recokit",
            "--cov-report=",
        ]
        command += ["--cov-context=test", f"--cov-config={self.folder / 'rc'}"]
        command += ["-n", str(jobs), "--dist", "worksteal"] if jobs > 1 else []
        environment = {**os.environ, "COVERAGE_FILE": str(self.folder / "coverage")}
        subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=False)
        (self.folder / "seconds.json").write_text(json.dumps(dict(_passed(report))))
        (self.folder / "done").touch()

    def tests(self, mutant: Mutant) -> list[str]:
        """Return the tests to run, the fastest first: those of the line, or of the file where it runs at import."""
        lines = self.data.contexts_by_lineno(str(ROOT / mutant.path))
        names = set(lines.get(mutant.line, ()))
        nearby = names - {""} or {name for contexts in lines.values() for name in contexts}
        nodes = {name.partition("|")[0] for name in nearby if name}
        ranked = sorted((self.seconds[node], node) for node in nodes if node in self.seconds)
        chosen, spent = [], 0.0
        for seconds, node in ranked:
            spent += seconds
            if chosen and spent > MAX_SECONDS:
                break
            chosen.append(node)
        return chosen


def _python_files(place: Path) -> Iterator[Path]:
    return iter([place]) if place.is_file() else place.rglob("*.py")


def _passed(report: Path) -> Iterator[tuple[str, float]]:
    """Read the tests that passed and their seconds from a JUnit file, by node id."""
    import xml.etree.ElementTree as ET

    for case in ET.parse(report).iter("testcase"):
        if len(case) == 0:
            yield _node_id(case.get("classname", ""), case.get("name", "")), float(case.get("time", 0.0))


def _node_id(classname: str, name: str) -> str:
    """Return a test's node id from what JUnit says: modules and classes are joined by dots there."""
    parts = classname.split(".")
    for end in range(len(parts), 0, -1):
        path = Path(*parts[:end]).with_suffix(".py")
        if (ROOT / path).is_file():
            return "::".join([path.as_posix(), *parts[end:], name])
        package = Path(*parts[:end], "__init__.py")
        if (ROOT / package).is_file() and end == len(parts):
            return f"{package.as_posix()}::{name}"
    return f"{classname}::{name}"


# -- running -----------------------------------------------------------------------------------------


def require_green(mutant: Mutant, tests: Sequence[str], usual: float) -> None:
    """Raise SystemExit where the tests fail in a child process without any edit: each mutant would count as killed."""
    whole = (ROOT / mutant.path).read_text(encoding="utf-8")
    if tests and judge(mutant, tests, usual, source=whole) != "survived":
        raise SystemExit(f"found tests that fail on unbroken code; expected them to pass: {' '.join(tests)}")


def judge(mutant: Mutant, tests: Sequence[str], usual: float, source: str = "") -> str:
    """Return "killed", "survived", "timeout" or "uncovered"; with another source, of that."""
    if not tests:
        return "uncovered"
    source = source or mutant.source
    child = os.fork()
    if child == 0:
        _run_child(mutant, source, tests)
    limit = time.monotonic() + 20.0 + PATIENCE * usual
    while time.monotonic() < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


def _run_child(mutant: Mutant, source: str, tests: Sequence[str]) -> None:
    """Run the tests on the edited source, in this forked process; never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1), os.dup2(quiet, 2)
        _replace_source(str(ROOT / mutant.path), source.encode())
        import pytest

        # Plain asserts: pytest would read modules whose doctests run by itself, past the edit, to rewrite theirs.
        options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov"]
        code = int(pytest.main([*tests, *options]))
    finally:
        os._exit(code)


def _replace_source(path: str, source: bytes) -> None:
    """Let the import system read another source for one file, and no bytecode for it."""
    from importlib.machinery import SourceFileLoader

    read, stats = SourceFileLoader.get_data, SourceFileLoader.path_stats
    sys.dont_write_bytecode = True

    def get_data(self: Any, name: str) -> bytes:
        return source if name == path else read(self, name)

    def path_stats(self: Any, name: str) -> Any:
        return {"mtime": 0, "size": 0} if name == path else stats(self, name)

    SourceFileLoader.get_data = get_data  # type: ignore[method-assign]
    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign]


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw mutants, run what covers them, print the survivors and one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("places", nargs="+", help="packages or files, such as recokit/rules")
    parser.add_argument("-n", type=int, default=40, help="mutants to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="stop after so long; the same call goes on"
    )
    parser.add_argument("--jobs", type=int, default=1, help="mutants run side by side")
    parser.add_argument(
        "--all-tests", action="store_true", help="every test judges, not only the package's own"
    )
    parser.add_argument("--show", action="store_true", help="only draw and print the mutants")
    options = parser.parse_args(arguments)
    places = [(ROOT / place).resolve() for place in options.places]
    files = sorted({path for place in places for path in _python_files(place)})
    mutants = draw(files, options.n, options.seed)
    if options.show:
        for mutant in mutants:
            print(f"{mutant.path}:{mutant.line} {mutant.operator}\n    {mutant.diff()}")
        return 0
    targets = ["tests", "recokit"] if options.all_tests else [t for place in places for t in tests_of(place)]
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("CI", "true")  # hypothesis draws the same examples each time
    coverage = Coverage(files, targets, 2 if options.all_tests else 1)
    for name in WARM:
        importlib.import_module(name)
    call = hashlib.sha256(repr((options.places, options.n, options.seed)).encode()).hexdigest()[:8]
    log = coverage.folder / f"results-{call}.json"
    results: dict[str, str] = json.loads(log.read_text()) if log.exists() else {}
    stop = time.monotonic() + 60 * options.minutes

    def run(mutant: Mutant) -> None:
        key = repr(mutant)
        if key in results or time.monotonic() > stop:
            return
        tests = coverage.tests(mutant)
        results[key] = judge(mutant, tests, sum(coverage.seconds[test] for test in tests))
        log.write_text(json.dumps(results))
        print(f"{results[key]:9} {mutant.path}:{mutant.line} {mutant.operator}", flush=True)

    for mutant in mutants[:1]:
        tests = coverage.tests(mutant)
        require_green(mutant, tests, sum(coverage.seconds[test] for test in tests))
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run, mutants))
    return _report(mutants, results, options)


def _report(mutants: Sequence[Mutant], results: dict[str, str], options: argparse.Namespace) -> int:
    judged = [mutant for mutant in mutants if repr(mutant) in results]
    print()
    for mutant in judged:
        if results[repr(mutant)] in ("survived", "uncovered"):
            print(
                f"{results[repr(mutant)]} {mutant.path}:{mutant.line} {mutant.operator}\n    {mutant.diff()}"
            )
    counts = Counter(results[repr(mutant)] for mutant in judged)
    dead = counts["killed"] + counts["timeout"]
    summary = {"seed": options.seed, "drawn": len(mutants), "judged": len(judged), "dead": dead, **counts}
    summary["share"] = round(dead / max(len(judged), 1), 3)
    print(json.dumps(summary))
    return 0 if len(judged) == len(mutants) else 3


if __name__ == "__main__":
    sys.exit(main())
