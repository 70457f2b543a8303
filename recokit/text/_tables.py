"""Words that a query is read by: comparisons, negation, units, recipients, and words without a meaning alone."""

from __future__ import annotations

from collections.abc import Mapping


def _split(words: str) -> list[str]:
    return words.split()


_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
#: Numbers as words.
NUMBER_WORDS: Mapping[str, float] = {
    **{word: float(10 * n) for n, word in enumerate(_TENS, 2)},
    "ten": 10.0,
    "twelve": 12.0,
    "fifteen": 15.0,
    "hundred": 100.0,
    "thousand": 1000.0,
}

#: Words before a number, and what they ask of it. Longer phrases are tried first.
COMPARISONS: Mapping[tuple[str, ...], str] = {
    **dict.fromkeys(
        [(word,) for word in ("below", "under", "beneath", "before", "<", "underneath")]
        + [
            (word, "than")
            for word in ("less", "cheaper", "lower", "fewer", "shorter", "smaller", "lighter", "younger")
        ],
        "<",
    ),
    **dict.fromkeys(
        [
            ("up", "to"),
            ("at", "most"),
            ("max",),
            ("maximum",),
            ("maximally",),
            ("within",),
            ("until",),
            ("<=",),
        ]
        + [("no", word, "than") for word in ("more", "higher", "later", "longer", "greater", "heavier")]
        + [("not", word, "than") for word in ("more", "higher", "later", "longer", "greater", "heavier")]
        + [("not", "over"), ("not", "above"), ("not", "exceeding"), ("budget",), ("budget", "of")]
        + [("a", "maximum", "of"), ("maximum", "of"), ("max", "of"), ("limit", "of")],
        "<=",
    ),
    **dict.fromkeys(
        [(word,) for word in ("above", "over", "after", "exceeding", "beyond", ">")]
        + [
            (word, "than")
            for word in (
                "more",
                "higher",
                "greater",
                "longer",
                "larger",
                "bigger",
                "heavier",
                "newer",
                "older",
            )
        ],
        ">",
    ),
    **dict.fromkeys(
        [
            ("at", "least"),
            ("min",),
            ("minimum",),
            ("minimum", "of"),
            ("a", "minimum", "of"),
            ("since",),
            (">=",),
        ]
        + [("starting", "at"), ("starting", "from"), ("not", "under"), ("not", "below"), ("not", "before")]
        + [
            (no, word, "than")
            for no in ("no", "not")
            for word in ("less", "fewer", "lower", "cheaper", "shorter")
        ],
        ">=",
    ),
    **dict.fromkeys([("around",), ("about",), ("roughly",), ("approximately",), ("circa",), ("~",)], "~"),
    **dict.fromkeys([("exactly",), ("=",), ("equal", "to")], "=="),
}
#: Words after a number.
AFTERWARDS: Mapping[tuple[str, ...], str] = {
    **dict.fromkeys([("or", word) for word in ("less", "under", "below", "fewer", "cheaper", "lower")], "<="),
    ("max",): "<=",
    ("tops",): "<=",
    ("maximum",): "<=",
    **dict.fromkeys(
        [("or", word) for word in ("more", "above", "higher", "over", "greater", "better")], ">="
    ),
    ("and", "up"): ">=",
    ("and", "above"): ">=",
    ("+",): ">=",
    ("plus",): ">=",
    ("minimum",): ">=",
}
#: What a comparison is about, where nothing else says so: words of column names.
ABOUT: Mapping[str, tuple[str, ...]] = {
    "cheaper": ("price",),
    "budget": ("price",),
    **dict.fromkeys(["longer", "shorter"], ("duration", "runtime", "length", "minute")),
    **dict.fromkeys(["heavier", "lighter"], ("weight",)),
    **dict.fromkeys(["before", "after", "since", "newer", "older", "until"], ("year", "released")),
}
#: Words that stand for a word of a column's name.
SAID_OF: Mapping[str, str] = {
    **dict.fromkeys(["rated", "star", "score"], "rating"),
    **dict.fromkeys(["priced", "cost", "costing"], "price"),
    **dict.fromkeys(["released", "published", "made"], "year"),
    **dict.fromkeys(["long", "running", "lasting", "length"], "duration"),
    "weighing": "weight",
    "wide": "width",
    "tall": "height",
    "high": "height",
    "deep": "depth",
}
#: Words between a comparison and its number.
FILLERS = frozenset(
    ("a", "an", "the", "of", "is", "are", "than", "to", "price", "priced", "cost", "costing", "at")
)

#: What says that the next labels are not wanted.
NEGATIONS = frozenset(
    [
        (word,)
        for word in (
            "not",
            "no",
            "without",
            "except",
            "excluding",
            "exclude",
            "minus",
            "non",
            "never",
            "avoid",
        )
    ]
    + [("other", "than"), ("apart", "from"), ("anything", "but"), ("everything", "but"), ("instead", "of")]
    + [
        ("nothing", "from"),
        ("nothing", "by"),
        ("nor",),
        ("neither",),
        ("dont", "want"),
        ("don", "t", "want"),
        ("skip",),
    ]
)
#: What lets a negation go on to the next label of the same column.
LISTING = frozenset(("or", "and", "nor", ",", "/"))

#: Unit -> dimension and size in the dimension's own unit.
UNITS: Mapping[str, tuple[str, float]] = {
    **dict.fromkeys(["mg", "milligram"], ("mass", 1e-3)),
    **dict.fromkeys(["g", "gram", "gramme", "grams"], ("mass", 1.0)),
    **dict.fromkeys(["kg", "kilo", "kilogram", "kilos"], ("mass", 1e3)),
    **dict.fromkeys(["oz", "ounce"], ("mass", 28.349523125)),
    **dict.fromkeys(["lb", "lbs", "pound"], ("mass", 453.59237)),
    **dict.fromkeys(["mm", "millimeter", "millimetre"], ("length", 1e-3)),
    **dict.fromkeys(["cm", "centimeter", "centimetre"], ("length", 1e-2)),
    **dict.fromkeys(["m", "meter", "metre"], ("length", 1.0)),
    **dict.fromkeys(["inch", "inches"], ("length", 0.0254)),
    **dict.fromkeys(["ft", "foot", "feet"], ("length", 0.3048)),
    **dict.fromkeys(["ml", "milliliter", "millilitre"], ("volume", 1e-3)),
    **dict.fromkeys(["l", "liter", "litre"], ("volume", 1.0)),
    **dict.fromkeys(["sec", "second", "seconds"], ("time", 1.0)),
    **dict.fromkeys(["min", "mins", "minute", "minutes"], ("time", 60.0)),
    **dict.fromkeys(["h", "hr", "hrs", "hour", "hours"], ("time", 3600.0)),
    **dict.fromkeys(["day", "days"], ("time", 86400.0)),
    **dict.fromkeys(["mb", "megabyte"], ("data", 1.0)),
    **dict.fromkeys(["gb", "gig", "gigabyte"], ("data", 1e3)),
    **dict.fromkeys(["tb", "terabyte"], ("data", 1e6)),
}
#: Sign or name of a currency -> its code.
CURRENCIES: Mapping[str, str] = {
    **dict.fromkeys(["$", "usd", "dollar", "dollars", "buck", "bucks"], "usd"),
    **dict.fromkeys(["\u20ac", "eur", "euro", "euros"], "eur"),
    **dict.fromkeys(["\u00a3", "gbp", "quid"], "gbp"),
    **dict.fromkeys(["\u00a5", "jpy", "yen"], "jpy"),
    **dict.fromkeys(["chf", "franc", "francs"], "chf"),
}
#: Words that stand before or after what a column's name says of its kind.
NAME_AFFIXES = frozenset(
    ("n", "num", "number", "count", "max", "min", "avg", "mean", "is", "has", "in", "of", "item")
)

#: Who a gift is for -> the words of labels that suit, the surest first.
_MALE, _FEMALE = ("men", "man", "male", "gentlemen", "him"), ("women", "woman", "female", "lady", "her")
_BOY, _GIRL = ("boy",), ("girl",)
_CHILD = ("kid", "child", "children", "junior", "youth")
_BABY = ("baby", "infant", "newborn", "toddler")
RECIPIENTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        _split("dad daddy father papa husband boyfriend grandpa grandfather uncle brother"), _MALE
    ),
    **dict.fromkeys(_split("him man men guy gentleman male"), _MALE),
    **dict.fromkeys(
        _split("mom mum mommy mother mama wife girlfriend grandma grandmother aunt sister"), _FEMALE
    ),
    **dict.fromkeys(_split("her woman women lady female"), _FEMALE),
    **dict.fromkeys(_split("son boy nephew grandson"), _BOY + _CHILD),
    **dict.fromkeys(_split("daughter girl niece granddaughter"), _GIRL + _CHILD),
    **dict.fromkeys(_split("kid child children grandchild grandchildren kids"), _CHILD),
    **dict.fromkeys(_split("baby infant newborn toddler"), _BABY),
}
#: Labels that suit everyone of a column that says whom items are for.
FOR_ALL = ("unisex", "everyone", "anyone")
#: Words between "for" and who it is.
POSSESSIVES = frozenset(_split("my our a an the his her their your old dear little"))

#: Words that mean nothing by themselves: neither searched by nor reported.
STOP_WORDS = frozenset(
    _split(
        """a an the and or but nor of for from by in on at to with as is are be it its this that these those than then
    so me my i we us our you your he she they them him his her their who which what where some any something anything
    someone one ones do does don t s re ve am im id want wants wanted need needs like love looking look find show get
    give gift present buy search searching please thanks hi hello can could would should will just only also really
    very too more most new not no good great nice best top recommend suggestion suggestions recommendation all
    every please made make makes having has have if there here about around up out into per each other thing things
    stuff item items product products price priced cost costs costing currency kind type sort pair piece set
    brand seller store shop category colour color size"""
    )
)
