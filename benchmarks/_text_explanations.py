"""Honest explanations and untrue ones, made from the wordings with facts drawn at random."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks._text_paraphrases import CLAIMS, LINKS, MARKUP, OTHERS, REASONS_NOT_GIVEN, WORDINGS
from recokit.text._facts import Facts, Reason

TITLES = [
    "Blue Lagoon Mug", "The Old Lamp (1997)", "Trail Runner 42", "Matrix, The (1999)", "Café Noir", "Oak Desk",
    "Rain Jacket", "Sourdough Bread", "Toy Story (1995)", "Wool Socks 3-Pack", "Garden Hose", "Night Train",
]  # fmt: skip
BRANDS, CATEGORIES = (
    ["Acme", "Northwind", "Zest & Co", "Umbra"],
    ["Kitchen", "Running Shoes", "Drama", "Home Office"],
)


class Case(NamedTuple):
    """A text, the facts that it is held against, and what was done to it."""

    text: str
    facts: Facts
    kind: str


def _facts(needs: tuple[str, ...], rng: np.random.Generator) -> tuple[Facts, dict[str, str]]:
    item, anchor = rng.choice(TITLES, 2, replace=False).tolist()
    values = {
        "item": item,
        "anchor": anchor,
        "place": str(rng.integers(1, 20)),
        "price": str(rng.integers(30, 400)),
        "brand": str(rng.choice(BRANDS)),
        "category": str(rng.choice(CATEGORIES)),
    }
    reasons = [
        Reason(*name.split(".", 1), values["place"] if name.startswith("source") else "")
        for name in needs
        if "." in name
    ]
    attributes = tuple((name, values[name]) for name in ("brand", "category", "price") if name in needs)
    because = (anchor,) if "because" in needs else ()
    return Facts(item, tuple(reasons), attributes, because), values


def honest(n: int, seed: int) -> list[Case]:
    """Return n honest explanations."""
    rng = np.random.default_rng(seed)
    cases = []
    for i in range(n):
        wording = WORDINGS[i % len(WORDINGS)]
        facts, values = _facts(wording.needs, rng)
        cases.append(Case(wording.text.format(**values), facts, "honest"))
    return cases


def untrue(n: int, seed: int) -> list[Case]:
    """Return n explanations that say one thing which is not so, of each kind as many."""
    rng = np.random.default_rng(seed)
    kinds = [_item, _number, _reason, _claim, _link, _markup, _other_user]
    cases: list[Case] = []
    at = 0
    while len(cases) < n:
        base = honest(len(WORDINGS), seed=int(rng.integers(1 << 30)))
        case = base[at % len(base)]
        text = kinds[len(cases) % len(kinds)](case, rng)
        at += 1
        if text is not None and text != case.text:
            cases.append(Case(text, case.facts, kinds[len(cases) % len(kinds)].__name__.lstrip("_")))
    return cases


def _item(case: Case, rng: np.random.Generator) -> str | None:
    """Another item, or the two items in each other's places."""
    facts = case.facts
    if facts.because and facts.because[0] in case.text and facts.item in case.text and rng.random() < 0.3:
        swapped = case.text.replace(facts.item, "\0").replace(facts.because[0], facts.item)
        return swapped.replace("\0", facts.because[0])
    other = str(rng.choice([title for title in TITLES if title not in (facts.item, *facts.because)]))
    old = facts.item if facts.item in case.text else next(iter(facts.because), "")
    return case.text.replace(old, other) if old else f"{case.text} {other} too."


def _number(case: Case, rng: np.random.Generator) -> str | None:
    known = [one.value for one in case.facts.reasons if one.value] + [
        text for _, text in case.facts.attributes
    ]
    for value in known:
        if value.isdigit() and value in case.text:
            return case.text.replace(value, str(int(value) + int(rng.integers(1, 9))))
    added = rng.choice(
        ["It costs {}.", "It is number {}.", "{} people chose it.", "It has {} stars.", "{} percent off."]
    )
    return f"{case.text} {str(added).format(int(rng.integers(400, 999)))}"


def _reason(case: Case, rng: np.random.Generator) -> str | None:
    given = {one.code for one in case.facts.reasons}
    others = [text for code, text in sorted(REASONS_NOT_GIVEN.items()) if code not in given]
    told = str(rng.choice(others))
    return told if rng.random() < 0.5 else f"{case.text} {told}"


def _claim(case: Case, rng: np.random.Generator) -> str | None:
    return f"{case.text} {rng.choice(CLAIMS)}"


def _link(case: Case, rng: np.random.Generator) -> str | None:
    return f"{case.text} {rng.choice(LINKS)}"


def _markup(case: Case, rng: np.random.Generator) -> str | None:
    return str(rng.choice(MARKUP)).replace("{text}", case.text)


def _other_user(case: Case, rng: np.random.Generator) -> str | None:
    return f"{case.text} {rng.choice(OTHERS)}"
