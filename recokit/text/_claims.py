"""Claims: whether a text says only what the facts say. Every word needs a licence; what has none is a claim."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from recokit._utils.words import folded, stem, words
from recokit.text._facts import Facts
from recokit.text._licences import GENERAL, HISTORY, LICENCES, LIKENESS, NUMBER_NOUNS, PAIRS, SIMILARITY
from recokit.text._tables import NUMBER_WORDS

#: Characters of an explanation.
LONGEST = 300
#: Signs of prose; all else is markup, an address or a trick.
_PROSE = re.compile(r"[\w\s.,;:!?'\u2019\"\u201c\u201d()%$\u20ac\u00a3\u2013\u2014-]*", re.UNICODE)
_ADDRESS = re.compile(r"(?i)\b(?:https?|ftp|www|mailto)\b|\w\.\w{2,}\b|@|://|\w/\w")
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
#: What stands in place of a fact while a text is looked at.
_MARK = "factspan"
#: Words around a number among which its noun stands.
_NEAR = 4
_UNITS_OF_TEXT = {"one", "two", "three", "four", "five", "six", "seven", "eight", "nine", *NUMBER_WORDS}


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A span of a text that repeats a fact: ``role`` is item, because, or the name of an attribute."""

    role: str
    first: int
    last: int


def refusal(text: str, facts: Facts, *, verb: str) -> str:
    """Return why a text is refused, empty where it says only what the facts say.

    Parameters
    ----------
    text : str
        What a model wrote.
    facts : Facts
    verb : str
        What users do with items, such as "bought": the one word for it that is true.
    """
    if not text.strip():
        return "it is empty"
    if _MARK in text.lower():
        return "it has a word that marks facts"
    if len(text) > LONGEST:
        return f"it has more than {LONGEST} characters"
    plain, phrases = _without_facts(text, facts)
    if not _PROSE.fullmatch(plain) or "\n" in text:
        return "it has markup or signs that prose has not"
    if _ADDRESS.search(plain):
        return "it has an address"
    tokens = _WORD.findall(folded(plain))
    stems = [stem(token) for token in tokens]
    licensed, given = _licensed(facts, verb)
    said = {one for one in stems if one in given}
    for place, token in enumerate(stems):
        if token.startswith(_MARK):
            continue
        if token[0].isdigit() or token in _UNITS_OF_TEXT - {"one"}:
            why = _number_refusal(tokens, stems, place, facts)
            if why:
                return why
            said.add(token)
        elif token not in GENERAL and token not in licensed and not _in_pair(stems, place):
            return f"no fact says {tokens[place]!r}"
    roles = {phrase.role for phrase in phrases}
    if not said and not roles - {"item"}:
        return "it gives no reason"
    return _role_refusal(stems, phrases, facts)


def _without_facts(text: str, facts: Facts) -> tuple[str, list[_Phrase]]:
    """Return the text with a mark in place of each fact that it repeats whole, and which these are."""
    forms = [(form, "item") for form in titles_said(facts.item)]
    forms += [(form, "because") for title in facts.because for form in titles_said(title)]
    forms += [(value, name) for name, value in facts.attributes if words(value)]
    found: list[_Phrase] = []
    plain = text
    for form, role in sorted(forms, key=lambda one: -len(one[0])):
        pattern = re.compile(rf"(?<![\w]){re.escape(form)}(?![\w])", re.IGNORECASE)
        number = re.fullmatch(r"[\d.,]+", form) is not None
        if number:
            continue  # numbers are looked at where they stand
        while match := pattern.search(plain):
            mark = f" {_MARK}{_letters(len(found))} "
            found.append(_Phrase(role, match.start(), match.end()))
            plain = plain[: match.start()] + mark + plain[match.end() :]
    return plain, found


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def titles_said(title: str) -> list[str]:
    """Return a title as people say it: whole, without what is in brackets, and with its article in front.

    Examples
    --------
    >>> titles_said("Matrix, The (1999)")
    ['Matrix, The (1999)', 'Matrix, The', 'The Matrix']
    """
    forms = [title]
    short = re.sub(r"\s*[\[(][^\])]*[\])]\s*$", "", title).strip()
    forms.append(short)
    body, comma, article = short.rpartition(", ")
    if comma and article.lower() in ("the", "a", "an"):
        forms.append(f"{article} {body}")
    return [form for form in dict.fromkeys(forms) if len(words(form))]


def _licensed(facts: Facts, verb: str) -> tuple[set[str], set[str]]:
    """Return the words that the facts license, and among them those that give a reason."""
    reasons: set[str] = set()
    for reason in facts.reasons:
        for code, these in LICENCES.items():
            if reason.code == code or (code.endswith(".") and reason.code.startswith(code)):
                reasons |= these
        if reason.kind == "feature":
            reasons |= set(_name(reason.name))
    if facts.because:
        reasons |= SIMILARITY | HISTORY | _forms(verb)
    if facts.has("source.history") or any(one.kind == "feature" for one in facts.reasons):
        reasons |= HISTORY
    if facts.has("source.history"):
        reasons |= _forms(verb)
    if any(one.kind in ("source", "feature") for one in facts.reasons):
        reasons |= LIKENESS
    numbered = any(one.kind == "source" and one.value for one in facts.reasons)
    reasons |= NUMBER_NOUNS["place"] if numbered else frozenset()
    licensed = reasons | {word for name, _ in facts.attributes for word in _name(name)}
    if facts.has("source.popular") or facts.has("source.item_knn"):
        licensed |= _forms(verb)
    return licensed, reasons


def _name(name: str) -> list[str]:
    return words(name.replace("_", " "))


#: Forms of verbs that are not made by an ending.
_IRREGULAR: Mapping[str, tuple[str, ...]] = {
    "bought": ("buy", "buying", "purchase", "purchased", "ordered", "order", "got", "get", "pay"),
    "watched": ("watch", "watching", "saw", "seen"),
    "read": ("reading",),
    "viewed": ("view", "viewing", "saw", "seen", "looked"),
}


def _forms(verb: str) -> set[str]:
    return {verb, *(_IRREGULAR.get(verb, ()))}


def _in_pair(stems: Sequence[str], place: int) -> bool:
    around = [tuple(stems[place : place + 2]), tuple(stems[max(place - 1, 0) : place + 1])]
    return any(pair in PAIRS for pair in around)


def _number_refusal(tokens: Sequence[str], stems: Sequence[str], place: int, facts: Facts) -> str:
    """Return why a number is refused: it is none of the facts', or nothing beside it says which."""
    said = tokens[place]
    near: set[str] = set(stems[max(place - _NEAR, 0) : place + _NEAR + 1])
    for name, value in facts.attributes:
        if _same(said, value) and near & {*_name(name), *NUMBER_NOUNS.get(name, ())}:
            return ""
    for reason in facts.reasons:
        if reason.kind == "source" and _same(said, reason.value) and near & NUMBER_NOUNS["place"]:
            return ""
    return f"no fact has the number {said!r} there"


def _same(said: str, value: str) -> bool:
    try:
        return float(said.replace(",", "")) == float(value.replace(",", ""))
    except ValueError:
        return said == value


def _role_refusal(stems: Sequence[str], phrases: Sequence[_Phrase], facts: Facts) -> str:
    """Return why items in each other's places are refused: what is offered, and what was chosen, are not the same."""
    roles = {f"{_MARK}{_letters(number)}": phrase.role for number, phrase in enumerate(phrases)}
    own_item = facts.has("source.history")
    for place, token in enumerate(stems):
        role = "item" if token in _IT else roles.get(token)
        if role not in ("item", "because"):
            continue
        before = list(reversed(stems[max(place - 4, 0) : place]))
        cue = next((word for word in _clause(before, roles) if word in _CUES), None)
        yours = bool({"you", "your"} & set(before)) or stems[place + 1 : place + 3] in _WHICH_YOU
        mine = (
            yours and cue not in _OFFERS and (cue is not None or stems[place + 1 : place + 3] in _WHICH_YOU)
        )
        hoped = cue == "like" and bool({"might", "may", "could"} & set(before))
        if role == "item" and mine and not own_item and not hoped:
            return "it says that the item itself was chosen"
        if role == "because" and (cue in _OFFERS or hoped):
            return "it offers what was chosen before"
    if stems and roles.get(stems[0]) == "because" and stems[1:3] not in _WHICH_YOU:
        return "it is about what was chosen before"
    return _order_refusal(stems, roles)


_ALL_VERBS = {form for verb in _IRREGULAR for form in _forms(verb)}
_IT = frozenset(("it", "this", "them"))
_OFFERS = frozenset(("recommend", "suggest", "picked", "shown", "show", "try"))
_CUES = _OFFERS | HISTORY | _ALL_VERBS | {"similar"}
_WHICH_YOU = [["which", "you"], ["that", "you"]]


def _clause(before: Iterable[str], roles: Mapping[str, str]) -> Iterable[str]:
    for word in before:
        if word in roles:
            return
        yield word


def _order_refusal(stems: Sequence[str], roles: Mapping[str, str]) -> str:
    """Refuse "who chose <item> often choose <anchor>": the first thing chosen is the user's own."""
    spans = [roles[token] for token in stems if token in roles and roles[token] in ("item", "because")]
    since = [place for place, token in enumerate(stems) if token in ("because", "since", "if", "who")]
    for place in since:
        after = next(
            (roles[token] for token in stems[place:] if roles.get(token) in ("item", "because")), None
        )
        conditional = any(word in HISTORY or word in _ALL_VERBS for word in stems[place : place + 4])
        if after == "item" and "because" in spans and conditional:
            return "it says that the item itself was chosen"
    return ""
