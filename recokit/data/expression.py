"""Expressions over item, user and request columns: parsed once, bound to arrays, evaluated for all candidates at once.

What is unknown stays unknown (Kleene's logic): ``unknown and False`` is False, ``not unknown`` is unknown.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from recokit._utils.options import shown
from recokit.data.candidates import Candidates
from recokit.data.context import of_users
from recokit.data.frames import LARGEST
from recokit.data.schema import Schema
from recokit.errors import ConfigurationError, DataError, DataWarning, did_you_mean
from recokit.typing import AnyArray, BoolArray, FloatArray

_MAX_LENGTH = 1_000
_MAX_DEPTH = 50
_LISTS = (ast.Tuple, ast.List)
_ENTITIES = ("item", "user", "request")
_ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_ORDER: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_HINT = (
    "hint: names are item.x, user.x and request.x; allowed are numbers, text, True, False, "
    "+ - * /, == != < <= > >=, in, not in, and, or, not"
)


@dataclass(frozen=True, eq=False)
class Truth:
    """What holds and what is known, arrays of one shape; where it is not known, ``holds`` means nothing."""

    holds: BoolArray
    known: BoolArray

    @property
    def certain(self) -> BoolArray:
        """Where it holds for sure."""
        return np.asarray(self.holds & self.known)


#: Reads a column by its full name, for all candidates or all of a catalogue.
Read = Callable[[str], AnyArray]


def parse(text: str) -> ast.expr:
    """Return the tree of an expression, made of nothing but what is allowed.

    Raises
    ------
    ConfigurationError
        If it is anything else; the message shows the part.
    """
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(
            f"found expression {text!r}; expected text such as 'item.min_age <= request.age'"
        )
    if len(text) > _MAX_LENGTH:
        raise ConfigurationError(
            f"found an expression of {len(text)} characters; expected at most {_MAX_LENGTH}"
        )
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        _check(tree, text)
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(
            f"found expression {text!r}, which cannot be read: {error}; {_HINT}"
        ) from error
    return tree


def _check(node: ast.AST, text: str, depth: int = 0) -> None:
    if depth > _MAX_DEPTH:
        raise ConfigurationError(
            f"found an expression nested deeper than {_MAX_DEPTH}; expected a simpler one"
        )
    allowed = (
        isinstance(node, ast.BoolOp)
        or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub))
        or (isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC)
        or isinstance(node, ast.Compare)
        or (isinstance(node, ast.Constant) and type(node.value) in (int, float, str, bool))
        or (isinstance(node, ast.Tuple | ast.List) and depth > 0)
    )
    if isinstance(node, ast.Attribute):
        if not isinstance(node.value, ast.Name) or node.value.id not in _ENTITIES:
            raise ConfigurationError(f"found {ast.unparse(node)!r} in {text!r}; {_HINT}")
        return
    if not allowed:
        raise ConfigurationError(f"found {ast.unparse(node)!r} in {text!r}; {_HINT}")
    if isinstance(node, ast.Compare):
        for op, right in zip(node.ops, node.comparators, strict=True):
            if type(op) not in _ORDER and not isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
                raise ConfigurationError(f"found a comparison by identity in {text!r}; {_HINT}")
            if isinstance(op, ast.In | ast.NotIn) and _label_in(node):
                continue
            if isinstance(op, ast.In | ast.NotIn) != isinstance(right, ast.Tuple | ast.List):
                raise ConfigurationError(
                    f"found {ast.unparse(node)!r} in {text!r}; expected a list after 'in', or 'label' in item.column"
                )
    for child in _operands(node):
        if isinstance(child, ast.Tuple | ast.List):
            if not isinstance(node, ast.Compare) or not all(
                isinstance(part, ast.Constant) for part in child.elts
            ):
                raise ConfigurationError(
                    f"found {ast.unparse(child)!r} in {text!r}; expected a list of constants"
                )
            if len({type(part.value) is str for part in child.elts if isinstance(part, ast.Constant)}) != 1:
                raise ConfigurationError(
                    f"found {ast.unparse(child)!r} in {text!r}; expected all numbers or all text"
                )
        _check(child, text, depth + 1)


def _label_in(node: ast.AST) -> ast.Attribute | None:
    """Return the column of ``'label' in item.column``, None where it is another expression."""
    if (
        not isinstance(node, ast.Compare)
        or len(node.ops) != 1
        or not isinstance(node.ops[0], ast.In | ast.NotIn)
    ):
        return None
    (right,), left = node.comparators, node.left
    if not (
        isinstance(left, ast.Constant) and isinstance(left.value, str) and isinstance(right, ast.Attribute)
    ):
        return None
    table = isinstance(right.value, ast.Name) and right.value.id in ("item", "user")
    return right if table else None


def _has(node: ast.expr) -> str:
    """Return the name of the column that tells which rows have the label of ``'label' in item.column``."""
    assert isinstance(node, ast.Compare)
    assert isinstance(node.left, ast.Constant)
    return f"{ast.unparse(node.comparators[0])} has {node.left.value!r}"


def _operands(node: ast.AST) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield child


class Condition:
    """An expression, and the columns of the catalogue that it reads once it is bound.

    Parameters
    ----------
    text : str
        The expression.

    Raises
    ------
    ConfigurationError
        If it cannot be read.
    """

    def __init__(self, text: str) -> None:
        self.text, self.tree = text, parse(text)
        names = (ast.unparse(node) for node in ast.walk(self.tree) if isinstance(node, ast.Attribute))
        self.names = tuple(sorted(set(names)))

    @property
    def requires(self) -> tuple[str, ...]:
        """Its columns as a stage requires them; a request's own time and list length come with it."""
        named = (name.replace("request.", "context.") for name in self.names)
        return tuple(name for name in named if name not in ("context.now", "context.k"))

    @property
    def of_items_only(self) -> bool:
        """Whether it depends on the item alone."""
        return all(name.startswith("item.") for name in self.names)

    def columns(self, schema: Schema) -> dict[str, AnyArray]:
        """Return its columns by code: numbers as float64, labels as text, larger whole numbers as they are (object).

        Raises
        ------
        ConfigurationError
            For a column that does not exist, or text where there must be numbers.
        """
        columns = self.known_columns(Columns(schema))
        for node in ast.walk(self.tree):
            _say_unknown(node, columns, schema)
        return columns

    def known_columns(self, known: Columns) -> dict[str, AnyArray]:
        """Return what :meth:`columns` does from columns looked up before, in silence about labels that nothing has."""
        having = {_has(node): known.having(node) for node in ast.walk(self.tree) if _is_label_in(node)}
        searched = {id(_label_in(node)) for node in ast.walk(self.tree) if _is_label_in(node)}
        compared = {
            _name(node)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Attribute) and id(node) not in searched
        }
        names = [name for name in self.names if name in compared and not _asked(name)]
        kinds = {name: known.kind(name) for name in names}
        for node in ast.walk(self.tree):
            _check_kinds(node, kinds)
        return {**{name: known.column(name) for name in names}, **having}

    def of_items(self, columns: Mapping[str, AnyArray]) -> Truth:
        """Evaluate one that depends on items alone for the whole catalogue, by item code."""
        return self._evaluate(columns.__getitem__)

    def of_candidates(self, columns: Mapping[str, AnyArray], candidates: Candidates) -> Truth:
        """Evaluate for candidates."""

        def read(name: str) -> AnyArray:
            if name.startswith("request."):
                return _of_request(candidates, name.removeprefix("request."))
            if name.startswith("user."):
                return of_users(columns[name], name.removeprefix("user."), candidates.requests)[
                    candidates.row
                ]
            return columns[name][candidates.item]

        return self._evaluate(read, len(candidates))

    def _evaluate(self, read: Read, n: int | None = None) -> Truth:
        truth = _truth(_value(self.tree, read), self.tree)
        if n is not None and truth.holds.shape != (n,):  # a condition without columns
            return Truth(np.broadcast_to(truth.holds, n), np.broadcast_to(truth.known, n))
        return truth


class Columns:
    """Columns of a schema as conditions compare them, each made once."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._found: dict[str, tuple[AnyArray, str]] = {}

    def _of(self, name: str) -> tuple[AnyArray, str]:
        if name not in self._found:
            column = _column(name, self.schema)
            self._found[name] = column, _kind_of(column)
        return self._found[name]

    def column(self, name: str) -> AnyArray:
        """Return a column by code: numbers as float64, labels as text."""
        return self._of(name)[0]

    def kind(self, name: str) -> str:
        """Return what it holds: ``"number"``, ``"text"`` or ``"large"`` whole numbers."""
        return self._of(name)[1]

    def having(self, node: ast.Compare) -> FloatArray:
        """Return by code whether an item or user has the label of ``'label' in item.column``."""
        return _having(node, self.schema)


def _asked(name: str) -> bool:
    return name.startswith("request.")


def _is_label_in(node: ast.AST) -> TypeGuard[ast.Compare]:
    return isinstance(node, ast.Compare) and _label_in(node) is not None


def _having(node: ast.Compare, schema: Schema) -> FloatArray:
    """Return by code whether an item or user has a label, NaN where it has none at all."""
    entity, _, column = ast.unparse(node.comparators[0]).partition(".")
    if entity == "item":
        schema.known_item_column(column)
    else:
        schema.user_column(column)
    several = (schema.items if entity == "item" else schema.users).labelled(column).several
    assert isinstance(node.left, ast.Constant)
    known = np.diff(several.offsets) > 0
    return np.where(known, several.having(str(node.left.value)), np.nan).astype(np.float64)


def _column(name: str, schema: Schema) -> AnyArray:
    entity, _, column = name.partition(".")
    values = schema.known_item_column(column) if entity == "item" else schema.user_column(column)
    table = schema.items if entity == "item" else schema.users
    column = table.named(column)
    if column in table.categorical and table.categorical[column].separator is not None:
        raise ConfigurationError(
            f"found {name!r}, which holds several labels each, compared as one; expected 'label' in {name}"
        )
    if column in table.categorical:
        ids = table.labels(column).ids
        if ids.dtype.kind == "i" and np.abs(ids).max(initial=0) <= LARGEST:
            return np.array([np.nan, *ids.tolist()])[values]
        return np.array([None, *ids.tolist()], object)[values]
    return values.astype(np.float64) if values.dtype.kind in "iuf" else values


def _kind_of(column: AnyArray) -> str:
    if column.dtype.kind != "O":
        return "number"
    return "large" if any(isinstance(value, int) for value in column.tolist()) else "text"


def _of_request(candidates: Candidates, name: str) -> AnyArray:
    requests = candidates.requests
    own = {"now": requests.now, "k": requests.k}
    column = np.asarray(own[name] if name in own else requests.column(name))
    large = column.dtype.kind in "iu" and any(abs(value) > LARGEST for value in column.tolist())
    numbers = column.dtype.kind in "biuf" and not large
    return column.astype(np.float64 if numbers else object)[candidates.row]


def _name(node: ast.Attribute) -> str:
    assert isinstance(node.value, ast.Name)
    return f"{node.value.id}.{node.attr}"


def _check_kinds(node: ast.AST, kinds_of: Mapping[str, str]) -> None:
    """Refuse text in arithmetic, order and logic, text against a number, and what floats could not compare."""

    def kind(part: ast.AST) -> str:
        if isinstance(part, ast.Constant):
            return "text" if isinstance(part.value, str) else "large" if _is_large(part.value) else "number"
        if isinstance(part, ast.Attribute):
            name = ast.unparse(part)
            return "any" if name.startswith("request.") else kinds_of[name]
        if isinstance(part, ast.Tuple | ast.List):
            return kind(max(part.elts, key=lambda one: kind(one) == "large"))
        return "number"

    if not isinstance(node, ast.BoolOp | ast.UnaryOp | ast.BinOp | ast.Compare) or _is_label_in(node):
        return
    kinds = {kind(part) for part in _operands(node)} - {"any"}
    ordered = not isinstance(node, ast.Compare) or any(type(op) in _ORDER for op in node.ops)
    if (len(kinds) > 1 and "text" in kinds) or (ordered and "text" in kinds):
        raise ConfigurationError(
            f"found text in {ast.unparse(node)!r}; expected numbers, or text compared with text by == or in"
        )
    if ordered and "large" in kinds and not _only_negated(node):
        raise ConfigurationError(
            f"found whole numbers beyond 2**53 in {ast.unparse(node)!r}; expected them compared by ==, != or in only, "
            "since a float cannot hold them"
        )


def _say_unknown(node: ast.AST, columns: Mapping[str, AnyArray], schema: Schema) -> None:
    """Warn of texts that no item or user has: a misspelt one lets a condition hold for all, or for none."""
    if not isinstance(node, ast.Compare):
        return
    parts = [part for one in _operands(node) for part in (one.elts if isinstance(one, _LISTS) else [one])]
    texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    for name in [ast.unparse(part) for part in parts if isinstance(part, ast.Attribute)] if texts else ():
        entity, _, column = name.partition(".")
        if _asked(name):
            continue
        if _is_label_in(node):
            table = schema.items if entity == "item" else schema.users
            known = set(table.labelled(column).several.labels.ids.tolist())
        else:
            known = set(columns[name].tolist()) - {None}
        missing = [text for text in texts if text not in known]
        if known and missing:
            warnings.warn(
                f"found {shown(missing[0])} in {shown(ast.unparse(node))}, which {name} never is; "
                f"{did_you_mean(missing[0], known)}",
                DataWarning,
                stacklevel=2,
            )


def _is_large(value: Any) -> bool:
    return isinstance(value, int) and abs(value) > LARGEST


def _only_negated(node: ast.AST) -> bool:
    """Tell whether it is a constant with a sign, which stays a whole number."""
    return (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.Constant)
    )


def _value(node: ast.expr, read: Read) -> Any:
    """Return a Truth, numbers (float64, NaN unknown) or text (object, None unknown)."""
    if isinstance(node, ast.Constant):
        whole = isinstance(node.value, str) or _is_large(node.value)
        return node.value if whole else float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Attribute):
        return read(_name(node))
    if isinstance(node, ast.BoolOp):
        return _joined(
            [_truth(_value(part, read), node) for part in node.values], both=isinstance(node.op, ast.And)
        )
    if isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.USub):
            if isinstance(node.operand, ast.Constant) and _is_large(node.operand.value):
                return -node.operand.value  # type: ignore[operator]
            return -_numbers(_value(node.operand, read), node)
        truth = _truth(_value(node.operand, read), node)
        return Truth(~truth.holds, truth.known)
    if isinstance(node, ast.BinOp):
        a, b = (_numbers(_value(part, read), node) for part in (node.left, node.right))
        with np.errstate(all="ignore"):
            value = np.asarray(_ARITHMETIC[type(node.op)](a, b))
        return np.where(np.isfinite(value), value, np.nan)  # divided by zero is unknown
    assert isinstance(node, ast.Compare)
    if _is_label_in(node):
        has = np.asarray(read(_has(node)))
        return Truth(np.asarray((has > 0) != isinstance(node.ops[0], ast.NotIn)), np.asarray(~np.isnan(has)))
    sides = [node.left, *node.comparators]  # a < b <= c is a < b and b <= c
    pairs = [_compared(op, sides[i], sides[i + 1], read) for i, op in enumerate(node.ops)]
    return pairs[0] if len(pairs) == 1 else _joined(pairs, both=True)


def _compared(op: ast.cmpop, left: ast.expr, right: ast.expr, read: Read) -> Truth:
    value = _value(left, read)
    if isinstance(op, ast.In | ast.NotIn):
        assert isinstance(right, ast.Tuple | ast.List)
        found = [_equal(value, _value(part, read), left) for part in right.elts]
        holds = np.logical_or.reduce([truth.holds for truth in found])
        return Truth(np.asarray(holds != isinstance(op, ast.NotIn)), found[0].known)
    other = _value(right, read)
    if isinstance(op, ast.Eq | ast.NotEq):
        truth = _equal(value, other, left)
        return Truth(np.asarray(truth.holds != isinstance(op, ast.NotEq)), truth.known)
    a, b = _numbers(value, left), _numbers(other, right)
    return Truth(np.asarray(_ORDER[type(op)](a, b)), np.asarray(~(np.isnan(a) | np.isnan(b))))


def _joined(truths: list[Truth], *, both: bool) -> Truth:
    true, false = truths[0].certain, truths[0].known & ~truths[0].holds
    for other in truths[1:]:
        holds, fails = other.certain, other.known & ~other.holds
        true, false = (true & holds, false | fails) if both else (true | holds, false & fails)
    return Truth(np.asarray(true), np.asarray(true | false))


def _truth(value: Any, node: ast.expr) -> Truth:
    """Read a value as a condition: a number or flag holds above 0."""
    if isinstance(value, Truth):
        return value
    number = _numbers(value, node)
    return Truth(np.asarray(number > 0), np.asarray(~np.isnan(number)))


def _numbers(value: Any, node: ast.expr) -> FloatArray:
    """Read a value as numbers, NaN where there is none."""
    if isinstance(value, Truth):
        return np.where(value.known, value.holds, np.nan).astype(np.float64)
    array = np.asarray(value)
    try:
        numbers = array.astype(np.float64)  # None becomes NaN
        # A whole number that a float does not hold is not known where floats are compared.
        return np.where(np.abs(numbers) > LARGEST, np.nan, numbers) if array.dtype.kind == "O" else numbers
    except (TypeError, ValueError) as error:
        raise DataError(f"found text in {ast.unparse(node)!r}; expected numbers") from error


def _equal(a: Any, b: Any, node: ast.expr) -> Truth:
    """Compare as text where one side is text, else as numbers."""
    if not (_is_text(a) or _is_text(b)):
        x, y = _numbers(a, node), _numbers(b, node)
        return Truth(np.asarray(x == y), np.asarray(~(np.isnan(x) | np.isnan(y))))
    a, b = np.asarray(a, object), np.asarray(b, object)
    return Truth(np.asarray(np.equal(a, b), np.bool_), _present(a) & _present(b))


def _is_text(value: Any) -> bool:
    """Tell whether a value is compared as it is: text, or whole numbers beyond what a float holds."""
    return not isinstance(value, Truth) and (_is_large(value) or np.asarray(value).dtype.kind in "OU")


def _present(value: AnyArray) -> BoolArray:
    """Tell where an object is neither None nor NaN."""
    return np.asarray(np.not_equal(value, np.array(None, object)), np.bool_) & np.asarray(
        np.equal(value, value), np.bool_
    )
