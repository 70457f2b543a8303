"""Sentences: explanations by templates, in the languages of a table."""

from __future__ import annotations

from collections.abc import Mapping

from recokit.text._facts import Facts, Reason

#: For each language what a reason is in words, by its code or kind; ``{name}``, ``{because}``, ``{reasons}`` and
#: ``{item}`` are filled in.
SENTENCES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "why": "Recommended because {reasons}.",
        "and": "and",
        "source.popular": "many people choose it",
        "source.trending": "it is on the rise",
        "source.history": "you chose it before",
        "source.text": "it matches your search",
        "source": "{name} found it",
        "feature": "{name} speaks for it",
        "rule": "it is promoted ({name})",
        "label.sponsored": "it is sponsored",
        "label": "it is marked {name}",
        "place": "it was placed there",
        "because": "it is like {because}",
        "none": "it fits your request",
        "not retrieved": "{item} is not in the list: nothing that is known led to it.",
        "removed": "{item} is not in the list: a rule leaves it out ({name}).",
        "not selected": "{item} is not in the list: others were placed before it ({name}).",
        "legal": "The main parameters of this list are: {reasons}.",
    },
    "de": {
        "why": "Empfohlen, weil {reasons}.",
        "and": "und",
        "source.popular": "viele ihn wählen",
        "source.trending": "er gerade gefragter wird",
        "source.history": "Sie ihn schon gewählt haben",
        "source.text": "er zu Ihrer Suche passt",
        "source": "{name} ihn gefunden hat",
        "feature": "{name} für ihn spricht",
        "rule": "er beworben wird ({name})",
        "label.sponsored": "dafür bezahlt wurde",
        "label": "er mit {name} gekennzeichnet ist",
        "place": "er dort platziert wurde",
        "because": "er {because} ähnelt",
        "none": "er zu Ihrer Anfrage passt",
        "not retrieved": "{item} steht nicht in der Liste: nichts Bekanntes führte dorthin.",
        "removed": "{item} steht nicht in der Liste: eine Regel schließt den Artikel aus ({name}).",
        "not selected": "{item} steht nicht in der Liste: andere Artikel standen davor ({name}).",
        "legal": "Die Hauptparameter dieser Liste sind: {reasons}.",
    },
    "fr": {
        "why": "Recommandé parce que {reasons}.",
        "and": "et que",
        "source.popular": "beaucoup de personnes le choisissent",
        "source.trending": "la demande augmente",
        "source.history": "vous l'avez déjà choisi",
        "source.text": "il correspond à votre recherche",
        "source": "{name} l'a trouvé",
        "feature": "{name} parle en sa faveur",
        "rule": "il est mis en avant ({name})",
        "label.sponsored": "il est sponsorisé",
        "label": "il porte la mention {name}",
        "place": "il a été placé là",
        "because": "il ressemble à {because}",
        "none": "il correspond à votre demande",
        "not retrieved": "{item} n'est pas dans la liste : rien de connu n'y menait.",
        "removed": "{item} n'est pas dans la liste : une règle l'exclut ({name}).",
        "not selected": "{item} n'est pas dans la liste : d'autres articles sont passés avant ({name}).",
        "legal": "Les principaux paramètres de cette liste sont : {reasons}.",
    },
    "es": {
        "why": "Recomendado porque {reasons}.",
        "and": "y",
        "source.popular": "muchas personas lo eligen",
        "source.trending": "su demanda está creciendo",
        "source.history": "ya lo ha elegido antes",
        "source.text": "coincide con su búsqueda",
        "source": "{name} lo encontró",
        "feature": "{name} está a su favor",
        "rule": "está promocionado ({name})",
        "label.sponsored": "está patrocinado",
        "label": "lleva la marca {name}",
        "place": "se colocó ahí",
        "because": "se parece a {because}",
        "none": "se ajusta a su solicitud",
        "not retrieved": "{item} no está en la lista: nada conocido llevaba a él.",
        "removed": "{item} no está en la lista: una regla lo excluye ({name}).",
        "not selected": "{item} no está en la lista: otros quedaron antes ({name}).",
        "legal": "Los principales parámetros de esta lista son: {reasons}.",
    },
}
#: Reasons that a sentence names, at most.
_MOST = 3


def spoken(name: str) -> str:
    """Return a name of a stage or column as people read it."""
    return name.replace("_", " ")


def clause(reason: Reason, table: Mapping[str, str]) -> str:
    """Return a reason in the words of a language."""
    template = table.get(reason.code, table.get(reason.kind, "{name}"))
    return template.replace("{name}", spoken(reason.name))


def sentence(facts: Facts, table: Mapping[str, str]) -> str:
    """Return why an item is in the list: what was paid for first, then the user's own, then the rest."""
    if facts.fate:
        kind, _, stage = facts.fate.partition(": ")
        return table[kind].replace("{name}", spoken(stage)).replace("{item}", facts.item)
    paid = [clause(one, table) for one in facts.reasons if one.kind == "label"]
    own = [table["because"].replace("{because}", title) for title in facts.because[:1]]
    rest = [clause(one, table) for one in facts.reasons if one.kind != "label"]
    if facts.because:  # that it is like the user's own says more than which source found it
        rest = [clause(one, table) for one in facts.reasons if one.kind not in ("label", "source")] or rest[
            :0
        ]
    # A label is never left out.
    clauses = list(dict.fromkeys([*paid, *[*own, *rest][: max(_MOST - len(paid), 1)]])) or [table["none"]]
    return table["why"].replace("{reasons}", joined(clauses, table["and"]))


def joined(parts: list[str], last: str) -> str:
    """Return parts as a list in a sentence.

    Examples
    --------
    >>> joined(["a", "b", "c"], "and")
    'a, b and c'
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"
