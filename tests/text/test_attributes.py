"""Attributes: a closed vocabulary with evidence; capped, counted, resumed after being killed, no facts for rules."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.text import AskQuery, Attributes, Cache, ParseQuery

VOCABULARY = {"material": ["wood", "steel"], "room": ["kitchen", "bath"]}
TEXTS = ["A sturdy wood table", "Steel knife for the kitchen", "A mystery", "Oak shelf", ""]


class Scripted:
    model = "scripted"

    def __init__(self, answers):
        self.answers, self.prompts, self.at = answers, [], []
        self._lock = threading.Lock()

    def complete(self, prompt, schema, timeout):
        with self._lock:
            self.prompts.append(prompt)
            self.at.append(time.monotonic())
        text = json.loads(prompt.rpartition("Text: ")[2].partition("\nAnswer")[0])
        return self.answers(text)


def reads(text):
    found = dict.fromkeys(VOCABULARY)
    for name, values in VOCABULARY.items():
        for value in values:
            if value in text.lower():
                found[name] = {"value": value, "evidence": value.upper()}
    if "Oak" in text:
        found["material"] = {"value": "wood", "evidence": "Oak"}
    return json.dumps(found)


@pytest.fixture(scope="module")
def data():
    items = {"item_id": [11, 12, 13, 14, 15], "about": TEXTS, "price": [1, 2, 3, 4, 5]}
    log = {"user_id": [1], "item_id": [11], "timestamp": [1]}
    dataset = rk.Dataset.from_frame(log, items=items)
    about = np.array([None, *TEXTS], object)
    table = replace(
        dataset.items,
        categorical={name: one for name, one in dataset.items.categorical.items() if name != "about"},
        other={**dataset.items.other, "about": about},
    )
    return replace(dataset, items=table)


def test_values_are_read_with_evidence_and_confidence(data):
    filled = Attributes(Scripted(reads), VOCABULARY).fill(data)
    assert filled.values["material"].tolist() == [None, "wood", "steel", None, "wood", None]
    assert filled.values["room"].tolist() == [None, None, "kitchen", None, None, None]
    assert filled.confidence["material"].tolist() == pytest.approx([0, 0.9, 0.9, 0, 0.5, 0])
    assert filled.evidence["material"][4] == "Oak"
    assert filled.calls == 4  # the one without a text is not asked for
    assert not filled.rejected and not filled.left


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"value": "gold", "evidence": "wood"}, "not allowed"),
        ({"value": "wood", "evidence": "woo"}, "does not stand"),
        ({"value": "wood", "evidence": "of fine wood"}, "does not stand"),
        ({"value": "wood", "evidence": ""}, "does not stand"),
        ({"value": "wood"}, "does not stand"),
        ({"value": ["wood"], "evidence": "wood"}, "not allowed"),
        ("wood", "not allowed"),
        (7, "not allowed"),
    ],
)
def test_what_has_no_evidence_is_rejected(data, found, reason):
    filled = Attributes(
        Scripted(lambda text: json.dumps({"material": found, "room": None})), VOCABULARY
    ).fill(data, [11])
    assert filled.values["material"][1] is None
    assert [(item, name) for item, name, _ in filled.rejected] == [(11, "material")]
    assert reason in filled.rejected[0][2]


def test_a_model_that_fails_leaves_items_for_later(data, tmp_path):
    def fails(text):
        raise RuntimeError("down")

    cache = Cache(tmp_path / "a.db")
    filled = Attributes(Scripted(fails), VOCABULARY, cache=cache).fill(data, [11, 12])
    assert filled.left == (11, 12)
    again = Attributes(Scripted(reads), VOCABULARY, cache=cache).fill(data, [11, 12])
    assert again.values["material"][1] == "wood"


def test_the_cap_holds_and_what_is_cached_is_free(data, tmp_path):
    cache = Cache(tmp_path / "a.db")
    free = Attributes(Scripted(reads), VOCABULARY, cache=cache, max_tokens=0).fill(data)
    assert (free.calls, free.tokens, len(free.left)) == (0, 0, 4)
    two = Attributes(Scripted(reads), VOCABULARY, cache=cache, max_tokens=700, concurrency=1).fill(data)
    assert 0 < two.calls < 4
    assert two.tokens <= 700
    assert len(two.left) == 4 - two.calls
    client = Scripted(reads)
    rest = Attributes(client, VOCABULARY, cache=cache).fill(data)
    assert rest.calls == len(client.prompts) == 4 - two.calls
    assert Attributes(client, VOCABULARY, cache=cache).fill(data).calls == 0


def test_calls_keep_a_rate(data):
    client = Scripted(reads)
    Attributes(client, VOCABULARY, max_rate=20, concurrency=4).fill(data)
    assert max(client.at) - min(client.at) >= 3 / 20 - 0.02


def test_inferred_columns_are_for_models_and_not_for_rules(data):
    filled = Attributes(Scripted(reads), VOCABULARY).fill(data)
    inferred = replace(data, items=filled.table(data.items))
    assert inferred.items.inferred == ("material", "room")
    for stage in (rules.Where("item.material == 'wood'"), rules.MaxPerGroup("material", 1)):
        with pytest.raises(rk.errors.ConfigurationError, match="inferred"):
            rk.Pipeline([candidates.Popular(), stage]).fit(inferred)
    assert ParseQuery(inferred.items)("wood").where == ""
    source = candidates.Content(attributes=["material"], text=[]).fit(inferred)
    assert source.similar(np.array([1]), 3).item.tolist() == [4]
    said = replace(data, items=filled.table(data.items, for_rules=True))
    rk.Pipeline([candidates.Popular(), rules.Where("item.material == 'wood'")]).fit(said)
    sure = filled.table(data.items, min_confidence=0.8)
    assert sure.column("material")[4] == 0
    with pytest.raises(rk.errors.ConfigurationError, match="already"):
        filled.table(sure)


def test_options_are_checked():
    for vocabulary in ({}, {"a b": ["x"]}, {"a": []}, {"a": [1]}):
        with pytest.raises(rk.errors.ConfigurationError, match="found"):
            Attributes(Scripted(reads), vocabulary)
    for options in ({"concurrency": 0}, {"max_rate": 0}, {"max_tokens": -1}):
        with pytest.raises(rk.errors.ConfigurationError, match="found"):
            Attributes(Scripted(reads), VOCABULARY, **options)


KILLED = """
import json, os, sys
import numpy as np
import recokit as rk
from recokit.text import Attributes, Cache

class Counting:
    model = "counting"
    def complete(self, prompt, schema, timeout):
        with open({calls!r}, "a") as file:
            file.write(prompt.rpartition("Text: ")[2].partition("\\n")[0] + "\\n")
        if {dies} and sum(1 for _ in open({calls!r})) == {dies}:
            os.kill(os.getpid(), 9)
        return json.dumps({{"material": None}})

n = {n}
items = {{"item_id": list(range(1, n + 1)), "title": [f"item number {{i}} of wood" for i in range(n)]}}
data = rk.Dataset.from_frame(None, items=items)
filled = Attributes(Counting(), {{"material": ["wood"]}}, cache=Cache({cache!r}), concurrency=1).fill(data)
print(filled.calls)
"""


def test_after_kill_9_no_answer_is_asked_for_again(tmp_path):
    calls, cache = str(tmp_path / "calls"), str(tmp_path / "cache.db")

    def run(dies):
        code = textwrap.dedent(KILLED.format(calls=calls, cache=cache, dies=dies, n=60))
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert run(25).returncode == -9
    done = run(0)
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "calls").read_text().splitlines()
    # The call that was under way when it was killed had no answer: it alone is made again.
    assert len(set(asked)) == 60
    assert len(asked) == 61
    assert int(done.stdout) == 36


class Names:
    """A model that names a column and value for words, and an encoder by which some are near."""

    model = "names"

    def __init__(self, conditions):
        self.conditions = conditions

    def complete(self, prompt, schema, timeout):
        if isinstance(self.conditions, Exception):
            raise self.conditions
        return json.dumps({"conditions": self.conditions})


def encode(texts):
    known = {"crimson": [1, 0.5, 0], "red": [1, 0, 0], "blue": [0, 0, 1]}
    return np.array([known.get(text, [0, 1, 0]) for text in texts], float)


@pytest.fixture(scope="module")
def parse():
    items = {"item_id": [1, 2, 3], "color": ["red", "blue", "red"], "price": [1, 2, 3]}
    return ParseQuery(rk.Dataset.from_frame(None, items=items).items, encoder=encode, nearness=0.95)


@pytest.mark.parametrize(
    ("conditions", "where"),
    [
        ([{"words": "crimson", "column": "color", "value": "red"}], "item.price < 3 and item.color == 'red'"),
        ([{"words": "crimson", "column": "color", "value": "blue"}], "item.price < 3"),
        ([{"words": "crimson", "column": "color", "value": "gold"}], "item.price < 3"),
        ([{"words": "crimson", "column": "secret", "value": "red"}], "item.price < 3"),
        ([{"words": "red", "column": "color", "value": "red"}], "item.price < 3"),
        ([{"words": "below 3", "column": "color", "value": "red"}], "item.price < 3"),
        ([{"words": "", "column": "color", "value": "red"}], "item.price < 3"),
        ([7, None, {"words": ["crimson"], "column": "color", "value": "red"}], "item.price < 3"),
        ("red", "item.price < 3"),
        (RuntimeError("down"), "item.price < 3"),
    ],
)
def test_a_model_adds_only_what_has_two_witnesses(parse, conditions, where):
    query = AskQuery(parse, Names(conditions))("crimson below 3")
    assert query.where == where
    assert query.by == ("model" if "color" in where else "rules")
    assert query.dropped == (() if "color" in where else ("crimson",))


def test_a_model_is_not_asked_where_rules_leave_nothing_open(parse):
    class Never:
        model = "never"

        def complete(self, prompt, schema, timeout):
            raise AssertionError

    assert AskQuery(parse, Never())("red below 3").by == "rules"
    with pytest.raises(rk.errors.ConfigurationError, match="encoder"):
        AskQuery(ParseQuery(parse.items), Never())
