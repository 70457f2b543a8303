"""Licences: which words a text may use, always or where a reason says so."""

from __future__ import annotations

from collections.abc import Mapping

from recokit._utils.words import stem


def _stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in text.split())


#: Words that claim nothing: they join, point and offer.
GENERAL = _stems(
    """a an the this that these those it its they them their which who whose what
    and or but so as too also well both either because since if when while where here there then
    of for from by in on at to with about into among between near within
    i we us our you your yours one
    is are was were be been being has have had do does did can could may might would should will
    recommend recommended recommendation suggest suggested suggestion pick picked show shown showing see look think
    thought consider offer offered try give found find discover list listed item product title choice option
    led brings bring brought come comes let made chosen why reason due based given part please maybe perhaps
    just some something"""
)
#: Pairs of words that only together claim nothing.
PAIRS = frozenset(
    [
        ("good", "match"),
        ("good", "fit"),
        ("good", "choice"),
        ("goe", "well"),
        ("go", "well"),
        ("in", "line"),
        ("line", "with"),
        ("have", "look"),
    ]
)
#: What is said of users' own past.
HISTORY = _stems(
    """before earlier previously past recently last lately again history already once
    chose choose chosen choices took take taken had liked like enjoyed enjoy interest interested picked selected
    select used regular regularly usual usually often normally always favourite favorite"""
)
#: What is said of an item that is like another.
SIMILARITY = _stems(
    "similar like alike resemble resembles related close same kind style reminds remind match together pair"
)
#: What is said of an item that suits a user.
LIKENESS = _stems(
    """fit fits suit suits match matches matching taste tastes preference preferences interest interests interested
    interesting like likes liking enjoy appeal appeals activity"""
)
_PEOPLE = _stems("people customer shopper user reader viewer others other many lot lots often")
#: Words that a reason licenses, by its code or, with a full stop at the end, by its kind.
LICENCES: Mapping[str, frozenset[str]] = {
    "source.popular": _PEOPLE
    | _stems(
        "popular popularity favourite favorite widely common choose chosen chose choice buy liked loved demand"
    ),
    "source.popular_in_category": _PEOPLE | _stems("popular popularity favourite favorite category choose"),
    "source.trending": _PEOPLE
    | _stems(
        "trending trend moment now currently lately recently rising more discovering attention momentum"
    ),
    "source.history": _stems(
        "again before regular regularly purchase purchases time usual repeat another back"
    ),
    "source.repurchase": _stems("again before regular purchase time due repeat another back"),
    "source.text": _stems(
        "search searched searching query word words asked looked looking match matches term terms"
    ),
    "source.item_knn": _PEOPLE | SIMILARITY | _stems("choose chose chosen who together"),
    "source.co_occurrence": _PEOPLE | SIMILARITY | _stems("choose chose chosen who together"),
    "source.user_knn": _PEOPLE | SIMILARITY | _stems("choose chose who"),
    "source.content": SIMILARITY | _stems("text description"),
    "source.editorial": _stems("editor editors selected selection"),
    "source.explore": _stems("explore new random something different variety"),
    "feature.price": _stems("price priced cost costs costing range budget pay spend usually normally"),
    "feature.": _stems("past usually normally often choose"),
    "rule.": _stems("promoted moved raised"),
    "label.sponsored": _stems("sponsored advertisement advertising ad paid promoted"),
    "label.": _stems("label labelled"),
    "place.": _stems("placed place pinned fixed"),
}
#: Words beside a number that say which number it is.
NUMBER_NOUNS: Mapping[str, frozenset[str]] = {
    "place": _stems("number place rank ranked position list"),
    "price": _stems("price priced cost costs costing pay euro euros dollar dollars eur usd"),
}
