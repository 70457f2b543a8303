"""Hostile arguments for every function that calls a compiled kernel: a typed error or the plain form's answer.

Sound arguments are drawn, and then some of them are spoiled. A crash ends the process, an overrun
the sanitized run.
"""

from __future__ import annotations

import ast
import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import recokit._kernels
from recokit._kernels import (
    als,
    features,
    forest,
    fusion,
    hashing,
    history,
    neighbors,
    ranking_metrics,
    slate_compiled,
    slate_greedy,
    slate_limits,
    slate_window,
    sorting,
    top_k,
    tree_shap,
    weighted,
)
from recokit._kernels.slate_arrays import CapArrays, Gains
from recokit._native.library import kernels
from recokit.errors import RecokitError

pytestmark = pytest.mark.skipif(kernels() is None, reason="no compiled kernels")

REFUSED = (RecokitError, IndexError, ValueError)
FOLDER = Path(recokit._kernels.__file__).parent
CALLERS = {path.stem for path in FOLDER.glob("*.py") if "kernels()" in path.read_text()}
MODULES = [importlib.import_module(f"recokit._kernels.{name}") for name in sorted(CALLERS)]


@contextmanager
def plain() -> Iterator[None]:
    """Return a context in which numpy alone is at work."""
    for module in MODULES:
        module.kernels = lambda: None  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in MODULES:
            module.kernels = kernels  # type: ignore[attr-defined]


# What is spoiled: any argument, or one inside a list.

COUNTS = (0, -1, 1, 2**31, 2**62, 2**63 - 1, -(2**63))


def unaligned(array: Any) -> Any:
    raw = np.empty(array.nbytes + 1, np.uint8)
    moved = raw[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def read_only(array: Any) -> Any:
    array = array.copy()
    array.flags.writeable = False
    return array


def holed(array: Any) -> Any:
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def with_values(values: tuple[float, ...]) -> Callable[[Any, Any], Any]:
    def spoil(rng: Any, array: Any) -> Any:
        array = array.copy()
        if array.size and array.dtype != np.bool_:
            value = rng.choice(values)
            if array.dtype.kind == "f" or np.isfinite(value):
                array.flat[rng.integers(array.size)] = np.array(value).astype(array.dtype)
        return array

    return spoil


ARRAYS: tuple[Callable[[Any, Any], Any], ...] = (
    lambda rng, array: unaligned(array),
    lambda rng, array: read_only(array),
    lambda rng, array: holed(array),
    lambda rng, array: np.asfortranarray(array),
    lambda rng, array: np.nan_to_num(array).astype(rng.choice(["f8", "f4", "i4", "u1", "i8", ">i8"])),
    lambda rng, array: array[:0],
    lambda rng, array: array[: max(len(array) - int(rng.integers(1, 4)), 0)],
    lambda rng, array: np.concatenate([array, array[:2]]),
    lambda rng, array: array[..., None],
    lambda rng, array: array[..., None][..., :0],
    lambda rng, array: array[..., :0],
    with_values((-1, 0, 5, 40, 2**31, -(2**31))),
    with_values((2**62, 2**63 - 1024, -(2**63))),
    with_values((np.nan, np.inf, -np.inf)),
)


def spoiled(rng: Any, value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.ndim:
        return ARRAYS[rng.integers(len(ARRAYS))](rng, value)
    if isinstance(value, list) and value:
        at = int(rng.integers(len(value)))
        if rng.random() < 0.2:
            return value[:at]
        return [*value[:at], spoiled(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, int):
        return COUNTS[rng.integers(len(COUNTS))]
    return float(rng.choice([0.0, -1.0, np.nan, np.inf, -np.inf, 1e30]))


# Sound arguments: a name of each, so that a failure tells what was given.


def offsets_of(rng: Any, rows: int, n: int) -> Any:
    return np.concatenate([[0], np.sort(rng.integers(0, n + 1, rows - 1)), [n]]).astype(np.int64)


def floats(rng: Any, *shape: int) -> Any:
    return rng.normal(size=shape).round(1).astype(np.float32)


def codes(rng: Any, most: int, *shape: int) -> Any:
    return rng.integers(0, most, shape) if shape else int(rng.integers(0, most))


def table(rng: Any) -> dict[str, Any]:
    rows, n = codes(rng, 9) + 1, codes(rng, 6)
    return {
        "table": floats(rng, rows, 3),
        "index": codes(rng, rows, n),
        "out": np.zeros((n, 5), np.float32),
        "start": 1,
    }


def sources(rng: Any) -> dict[str, Any]:
    n, s = codes(rng, 9), codes(rng, 4)
    rank = [np.where(rng.random(n) < 0.5, np.nan, 1 + codes(rng, 4, n)).astype(np.float32) for _ in range(s)]
    out = np.zeros((n, 9), np.float32)
    return {
        "rank": rank,
        "score": [floats(rng, n) for _ in rank],
        "offsets": offsets_of(rng, 3, n),
        "out": out,
        "start": 0,
    }


def lists(rng: Any) -> dict[str, Any]:
    lengths = rng.integers(0, 9, rng.integers(1, 4))
    offsets = [offsets_of(rng, 2, n) for n in lengths]
    shares = [0.5, 0.3, 0.2][: len(lengths)]
    item = [1 + rng.permutation(12)[:n] for n in lengths]
    score = [floats(rng, n) for n in lengths]
    by = str(rng.choice(["interleave", "rrf", "quota"]))
    return {"offsets": offsets, "item": item, "score": score, "by": by, "limit": 5, "shares": shares}


def one_list(rng: Any) -> dict[str, Any]:
    n = codes(rng, 9)
    return {"offsets": offsets_of(rng, 3, n), "item": codes(rng, 12, n), "highest": 11, "limit": 6}


def events(rng: Any) -> dict[str, Any]:
    n, half_life = codes(rng, 12), rng.choice([None, 3.0])
    time = rng.random(n).round(1)
    return {
        "offsets": offsets_of(rng, 3, n),
        "item": codes(rng, 5, n),
        "weight": floats(rng, n),
        "time": time,
        "half_life": half_life,
    }


def scored(rng: Any) -> dict[str, Any]:
    n = codes(rng, 12)
    return {"offsets": offsets_of(rng, 3, n), "score": floats(rng, n), "code": rng.permutation(n), "k": 2}


def windows(rng: Any) -> dict[str, Any]:
    n = codes(rng, 60)
    return {"offsets": offsets_of(rng, 3, n), "score": floats(rng, n), "width": codes(rng, 20, 3)}


def dense(rng: Any) -> dict[str, Any]:
    rows, width = rng.integers(1, 5), rng.integers(1, 40)
    usable = rng.random(width) < 0.9
    exclude = [offsets_of(rng, rows, 6), codes(rng, width + 2, 6)]
    return {"scores": floats(rng, rows, width), "k": 3, "usable": usable, "exclude": exclude}


def products(rng: Any) -> dict[str, Any]:
    case = dense(rng)
    scores = case.pop("scores")
    return {"queries": floats(rng, len(scores), 2), "vectors": floats(rng, scores.shape[1], 2), **case}


def sums(rng: Any) -> dict[str, Any]:
    n = codes(rng, 5)
    return {"rows": floats(rng, codes(rng, 6), 4), "place": codes(rng, 4, n), "weight": floats(rng, n)}


def matrix(rng: Any, rows: int, columns: int) -> dict[str, Any]:
    found = sparse.random(rows, columns, 0.4, "csr", np.float32, random_state=rng)
    return {"data": found.data, "indices": found.indices, "indptr": found.indptr}


def pairs(rng: Any) -> dict[str, Any]:
    n = rng.integers(1, 8)
    sides = {f"left_{k}": v for k, v in matrix(rng, n, 5).items()}
    sides |= {f"right_{k}": v for k, v in matrix(rng, 5, n).items()}
    return {**sides, "n": n, "size": 1 + np.abs(floats(rng, n)), "start": 0, "stop": int(n), "k": 2}


def systems(rng: Any) -> dict[str, Any]:
    rows = rng.integers(1, 6)
    ridge, spread = 1 + rng.random(rows), 1 + rng.random(4)
    vectors, factors = floats(rng, 5, 4), floats(rng, rows, 4)
    return {
        **matrix(rng, rows, 5),
        "rows": rows,
        "vectors": vectors,
        "spread": spread,
        "ridge": ridge,
        "factors": factors,
    }


def trees(rng: Any) -> dict[str, Any]:
    n = 2 * codes(rng, 4) + 1  # a comb: each left child is a leaf
    split = np.arange(n) % 2 == 0
    split[-1] = False
    left, right = np.where(split, np.arange(n) + 1, 0), np.where(split, np.arange(n) + 2, 0)
    nodes = {"feature": codes(rng, 3, n), "threshold": rng.normal(size=n), "left": left, "right": right}
    nodes |= {
        "missing_left": rng.random(n) < 0.5,
        "value": rng.normal(size=n),
        "cover": np.arange(n, 0, -1.0),
    }
    at = np.flatnonzero(split & (nodes["feature"] == 2))
    nodes["missing_left"][at] = False
    nodes |= {"category_node": np.repeat(at, 2), "category": np.tile([0, 2], len(at))}
    return {**nodes, "roots": np.zeros(1, np.int64), "rows": floats(rng, codes(rng, 20), 3)}


def slates(rng: Any) -> dict[str, Any]:
    rows, width, places = 1 + codes(rng, 3), 1 + codes(rng, 40), 1 + codes(rng, 5)
    start = np.where(rng.random((rows, places)) < 0.1, 0, -1)
    groups = [codes(rng, 4, rows, width) - 1 for _ in range(1 + codes(rng, 2))]
    minimum = codes(rng, 3)
    cap = {
        "maximum": None if minimum else codes(rng, 4, rows),
        "minimum": minimum,
        "within": rng.choice([None, 2]),
    }
    window = {"valid": rng.random((rows, width)) < 0.9, "k": codes(rng, places + 2, rows), "start": start}
    return {
        **window,
        "groups": groups,
        **cap,
        "sliding": bool(rng.random() < 0.3) and not minimum,
        "early": 0,
    }


def weighed(rng: Any) -> dict[str, Any]:
    case = slates(rng)
    return {**case, "relevance": floats(rng, *case["valid"].shape), "trade_off": 0.5}


def content(rng: Any) -> dict[str, Any]:
    case = weighed(rng)
    shape = case["valid"].shape
    vectors = rng.normal(size=(9, 3))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    case |= {"kind": str(rng.choice(["mmr", "msd", "dpp", "facility"])), "item": codes(rng, 9, *shape)}
    if rng.random() < 0.5:
        return {**case, "vectors": vectors, "has_vector": rng.random(9) < 0.8}
    return {**case, "labels": codes(rng, 3, 9, 2)}


def aspects(rng: Any) -> dict[str, Any]:
    case = weighed(rng)
    shape = (*case["valid"].shape, 2)
    case |= {
        "kind": str(rng.choice(["calibration", "proportional", "xquad"])),
        "aspect": codes(rng, 4, *shape),
    }
    case |= {"aspect_weight": np.abs(floats(rng, *shape)), "covers": rng.random(shape).astype(np.float32)}
    return {**case, "target": rng.random((shape[0], 4)), "smoothing": 0.1}


# The functions.


def csr(data: Any, indices: Any, indptr: Any, rows: int, columns: int) -> Any:
    built = sparse.csr_matrix((rows, columns), dtype=np.float32)
    built.data, built.indices, built.indptr = data, indices, indptr  # unchecked, as a careless caller's
    return built


def take_rows(table: Any, index: Any, out: Any, start: int) -> Any:
    features.take_rows(table, index, out, start)
    return out


def source_features(rank: Any, score: Any, offsets: Any, out: Any, start: int) -> Any:
    features.source_features(rank, score, offsets, out, start)
    return out


def fuse(**case: Any) -> Any:
    return list(vars(fusion.fuse_lists(**case)).values())


def nearest(n: int, size: Any, start: int, stop: int, k: int, **sides: Any) -> Any:
    left = csr(*(sides[f"left_{part}"] for part in ("data", "indices", "indptr")), int(n), 5)
    right = csr(*(sides[f"right_{part}"] for part in ("data", "indices", "indptr")), 5, int(n))
    return neighbors.Similarities(left, right, row_size=size, column_size=size).nearest(start, stop, k)


def moved(rows: int, vectors: Any, spread: Any, ridge: Any, factors: Any, **cells: Any) -> Any:
    weight = csr(**cells, rows=int(rows), columns=5)
    found = als.Descent(weight, vectors, spread=spread, ridge=ridge).moved(factors, 2)
    # Steps towards the optimum of systems that have none lead anywhere.
    finite = all(np.isfinite(part).all() for part in (weight.data, vectors, spread, ridge, factors))
    sound = (
        finite
        and min(weight.data.min(initial=0), spread.min(), ridge.min()) >= 0
        and np.abs(vectors).max(initial=0) < 100
    )
    return found if sound and np.abs(found).max(initial=0) < 100 else np.array(found.shape)


def of_trees(roots: Any, rows: Any, **nodes: Any) -> Any:
    made = forest.Forest(nodes=forest.Tree(**nodes), roots=roots, n_features=3, baseline=0.5)
    return made.raw_score(rows), made.leaf_values(rows), tree_shap.contributions_of(made, rows)


def cap_of(case: dict[str, Any]) -> CapArrays:
    names = ("maximum", "minimum", "within", "sliding")
    return CapArrays(tuple(case.pop("groups")), **{name: case.pop(name) for name in names})


class Weighed:
    """Relevance, weighed."""

    def __init__(self, trade_off: float, relevance: Any) -> None:
        self.gains = Gains("relevance", trade_off, relevance)

    def compiled(self) -> Gains:
        return self.gains

    def gain(self) -> Any:
        return np.float32(self.gains.trade_off) * self.gains.relevance

    def update(self, chosen: Any, active: Any, allowed: Any) -> None:
        pass


def chosen(**case: Any) -> Any:
    cap, chooser = cap_of(case), None
    if "relevance" in case:
        chooser = Weighed(case.pop("trade_off"), case.pop("relevance"))
    return slate_greedy.greedy(case.pop("valid"), case.pop("k"), [cap], chooser, **case)


def opened(early: int, **case: Any) -> Any:
    return slate_limits.Limits([cap_of(case)], **case).open(0, early)


def listed(kind: str, **case: Any) -> Any:
    """Return whether the lists are lists: of candidates that are there, none twice; numpy has no form of these."""
    if slate_compiled.kernels() is None:
        return np.True_
    cap, window = cap_of(case), [case.pop(name) for name in ("valid", "k", "start")]
    early = case.pop("early")
    picked = slate_compiled.chosen_lists([cap], *window, Gains(kind, **case), early=early)  # type: ignore[arg-type]
    rows, places = np.nonzero((picked >= 0) & (window[2] < 0))
    there = window[0][rows, picked[rows, places]].all()
    distinct = len({*zip(rows.tolist(), picked[rows, places].tolist(), strict=True)}) == len(rows)
    return np.bool_(there and distinct and picked.max(initial=-1) < window[0].shape[1])


def judged(rng: Any) -> dict[str, Any]:
    n, m = codes(rng, 30), codes(rng, 12)
    offsets = offsets_of(rng, 3, m)
    truth = [np.sort(rng.permutation(15)[:length]) for length in np.diff(offsets)]
    return {
        "list_offsets": offsets_of(rng, 3, n),
        "list_item": codes(rng, 15, n),
        "truth_offsets": offsets,
        "truth_item": np.concatenate([np.zeros(0, np.int64), *truth]),
        "truth_gain": rng.random(m),
    }


def hits(**case: Any) -> list[Any]:
    found = ranking_metrics.find_hits(**case)
    return [found.row, found.rank, found.gain]


TARGETS: dict[str, tuple[Callable[..., Any], Callable[[Any], dict[str, Any]]]] = {
    "take_rows": (take_rows, table),
    "source_features": (source_features, sources),
    "fuse_lists": (fuse, lists),
    "lists_hold": (lambda **case: np.bool_(fusion.lists_hold(**case)), one_list),
    "row_seeds": (hashing.row_seeds, lambda rng: {"seed": 7, "user": codes(rng, 9, 5)}),
    "uniform": (
        hashing.uniform,
        lambda rng: {"seed": codes(rng, 9, 5).astype(np.uint64), "counter": codes(rng, 9, 5)},
    ),
    "weighted_items": (history.weighted_items, events),
    "top_by_score": (sorting.top_by_score, scored),
    "best_window": (slate_window.best_window, windows),
    "top_k_dense": (top_k.top_k_dense, dense),
    "top_k_products": (top_k.top_k_products, products),
    "weighted_sums": (weighted.weighted_sums, sums),
    "find_hits": (hits, judged),
    "nearest": (nearest, pairs),
    "moved": (moved, systems),
    "forest": (of_trees, trees),
    "greedy": (chosen, slates),
    "greedy by relevance": (chosen, weighed),
    "open": (opened, slates),
    "content": (listed, content),
    "aspects": (listed, aspects),
}
#: The modules whose kernels those functions call.
COVERED = {
    "features",
    "fusion",
    "hashing",
    "history",
    "sorting",
    "slate_window",
    "top_k",
    "weighted",
    "neighbors",
    "ranking_metrics",
}
COVERED |= {"als", "forest", "quick_scorer", "tree_shap", "slate_greedy", "slate_limits", "slate_compiled"}


def case_of(name: str, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    case = TARGETS[name][1](rng)
    for argument in rng.choice(list(case), rng.integers(0, 3)):
        with np.errstate(all="ignore"):
            case[argument] = spoiled(rng, case[argument])
    return case


def outcome(name: str, seed: int) -> list[Any] | Exception:
    """Return the arrays that a function answers with, or its error."""
    case = case_of(name, seed)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            answer = TARGETS[name][0](**case)
    except Exception as error:
        return error
    return [np.array(part) for part in (answer if isinstance(answer, list | tuple) else [answer])]


def check(name: str, seed: int) -> None:
    found = outcome(name, seed)
    if isinstance(found, Exception):
        assert isinstance(found, REFUSED) and str(found), (found, case_of(name, seed))
        return
    with plain():
        expected = outcome(name, seed)
    if isinstance(expected, Exception):
        assert isinstance(expected, REFUSED), (expected, found, case_of(name, seed))
        return
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=str(case_of(name, seed)))


def test_every_caller_of_a_kernel_is_covered() -> None:
    assert {name for name in CALLERS if calls_kernels(name)} == COVERED


def calls_kernels(module: str) -> bool:
    tree = ast.parse((FOLDER / f"{module}.py").read_text())
    return any(isinstance(node, ast.Call) and ast.unparse(node.func) == "kernels" for node in ast.walk(tree))


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_arguments_are_refused_or_answered_as_by_numpy(name: str) -> None:
    for seed in range(15):
        check(name, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_hostile_arguments_are_refused_or_answered_as_by_numpy_10_000_times(name: str) -> None:
    for seed in range(100, 600):
        check(name, seed)
