"""Text and language models: what is let through, what is read, what a dead server changes, what encoders find.

    python -m benchmarks.text [--small] [--parts NAME ...]

Queries are made from three catalogues that the rules were not written on; wordings of explanations were written before
the checker's word lists. Models are scripted here: what a real one says is tried by `make test-slow`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import recokit as rk
from benchmarks._harness import Check, measure, percentiles, report
from benchmarks._text_explanations import honest, untrue
from benchmarks._text_queries import INJECTIONS, catalogues, movies, queries
from recokit import candidates, rules
from recokit.data.search import ItemConditions
from recokit.text import AskQuery, Attributes, Cache, Explain, HttpClient, ParseQuery
from recokit.text._claims import refusal


def explanations(small: bool) -> list[Check]:
    """Judge 200 honest paraphrases and 500 untrue ones."""
    n = (40, 70) if small else (200, 500)
    kept = np.mean([not refusal(case.text, case.facts, verb="bought") for case in honest(n[0], seed=101)])
    through = sum(not refusal(case.text, case.facts, verb="bought") for case in untrue(n[1], seed=102))
    return [
        Check.at_least("honest paraphrases kept", kept, 0.9),
        Check.at_most(f"untrue of {n[1]} let through", through, 0),
    ]


def _encode(texts: list[str]) -> np.ndarray:
    """Encode by hashed letter triples: enough for words to be near themselves."""
    vectors = np.zeros((len(texts), 64), np.float32)
    for row, text in enumerate(texts):
        for at in range(len(text)):
            vectors[row, hash_of(text[at : at + 3]) % 64] += 1
    return vectors


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode()[:8], "little") % 1_000_003


class Obedient:
    """A model that does what injections say: it names columns, values and words of its own."""

    model = "obedient"

    def complete(self, prompt: str, schema: Any, timeout: float) -> str:
        bad = [
            {"words": word, "column": "secret", "value": "1"} for word in ("ignore", "admin", "everything")
        ]
        return json.dumps({"conditions": bad, "where": "item.secret == 1"})


def reading(small: bool) -> list[Check]:
    """Read queries by rules, with an obedient model, and with injections."""
    exact, total, worse, unknown, changed = 0, 0, 0, 0, 0
    known = catalogues()
    if small:
        known = {"marketplace": known["marketplace"]}
    for name, data in known.items():
        parse, conditions = ParseQuery(data.items), ItemConditions(data.schema)
        ask = AskQuery(ParseQuery(data.items, encoder=_encode, nearness=1.0), Obedient())
        for number, query in enumerate(queries(name, data, 20 if small else 67, seed=7)):
            read = parse(query.text)
            total += 1
            try:
                found = conditions.mask(read.where) if read.where else np.arange(data.n_items + 1) > 0
                exact += bool((found[1:] == query.wanted[1:]).all())
            except rk.errors.DataError:
                unknown += 1
            if number < 17:
                worse += ask(query.text).where != read.where
                injected = parse(f"{query.text}. {INJECTIONS[number % len(INJECTIONS)]}")
                changed += not set(read.evidence) >= set(injected.evidence)
    return [
        Check.at_least(f"exact of {total} queries, rules alone", exact / total, 0.85),
        Check.at_most("unknown columns or values", unknown, 0),
        Check.at_most("queries that an obedient model changed", worse, 0),
        Check.at_most("injections that added a condition", changed, 0),
    ]


def _search(n_items: int) -> tuple[rk.Pipeline, rk.Dataset]:
    market = rk.datasets.make_marketplace(n_users=300, n_items=n_items, seed=3).dataset
    stages = [
        ParseQuery(),
        candidates.Merge([candidates.Text(), candidates.Popular()], limit=500),
        rules.Asked(),
        rules.MaxPerGroup("seller", 2, hard=True),
        rules.Reasons(),
    ]
    return rk.Pipeline(stages, fallback=candidates.Popular()).fit(market), market


def serving(small: bool) -> list[Check]:
    """Answer hybrid queries with no server, a dead one and one that hangs."""
    pipeline, market = _search(500 if small else 5_000)
    asked = [query.text for query in queries("marketplace", market, 20 if small else 200, seed=11)]
    opened = 0
    connect = socket.socket.connect

    def counting(self: socket.socket, address: Any) -> None:
        nonlocal opened
        opened += 1
        connect(self, address)

    def run() -> tuple[list[Any], np.ndarray]:
        lists, seconds = [], []
        for text in asked:
            start = time.process_time()  # of this one thread: others use the cores too
            lists.append(pipeline.recommend([None], k=10, query=text, now=market.until + 1).ids(0))
            seconds.append(time.process_time() - start)
        return lists, np.array(seconds)

    run()
    before = set(sys.modules)
    socket.socket.connect = counting  # type: ignore[method-assign]
    try:
        absent, alone = run()
        with _hanging() as url:
            tools = [Explain(HttpClient(server, model="m")) for server in ("http://127.0.0.1:9", url)]
            beside, busy = run()
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
    del tools
    prices = market.items.column("price")
    wrong, over = _broken(pipeline, market, asked, prices)
    return [
        Check.at_most("answers that differ beside a dead and a hanging server", absent != beside, 0),
        Check.at_most("sockets opened while serving", opened, 0),
        Check.at_most(
            "modules loaded while serving", len({m for m in set(sys.modules) - before if "urllib3" in m}), 0
        ),
        Check.at_most("median beside them, against without", np.median(busy) / np.median(alone), 1.05, "x"),
        Check.at_most("items that a query's condition leaves out", wrong, 0),
        Check.at_most("sellers beyond their cap", over, 0),
        Check.at_most("p99 of a hybrid query", 1e3 * percentiles(np.r_[alone, busy])["p99"], 10, "ms"),
        Check.info("median of a hybrid query", 1e3 * float(np.median(alone)), "ms"),
    ]


def _broken(pipeline: rk.Pipeline, market: rk.Dataset, asked: list[str], prices: Any) -> tuple[int, int]:
    """Count items that do not meet their query's condition, and those beyond a seller's cap."""
    parse, conditions = ParseQuery(market.items), ItemConditions(market.schema)
    seller = market.items.column("seller")
    wrong = over = 0
    for text in asked:
        codes = pipeline.recommend([None], k=10, query=text, now=market.until + 1).codes(0)
        where = parse(text).where
        wrong += int((~conditions.mask(where)[codes]).sum()) if where else 0
        over += int(np.maximum(np.bincount(seller[codes]) - 2, 0).sum()) if len(codes) else 0
    return wrong, over


class _hanging:
    """A server that takes a connection and sends a blank now and then, never an answer."""

    def __enter__(self) -> str:
        self.stop, self.socket = threading.Event(), socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def _serve(self) -> None:
        while not self.stop.is_set():
            try:
                peer, _ = self.socket.accept()
                peer.recv(1 << 16)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not self.stop.wait(0.02):
                    peer.sendall(b" ")
            except OSError:
                continue

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.socket.close()


def calls(small: bool) -> list[Check]:
    """Hold the wall limit under a trickling server, time a hit in the cache, and resume after kill -9."""
    with _hanging() as url:
        client = HttpClient(url, model="m", timeout="1s" if small else "3s")
        start = time.perf_counter()
        with contextlib.suppress(rk.errors.StageError):
            client.complete("hello", {})
        limit = (time.perf_counter() - start) / client.timeout
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder) / "cache.db")
        for number in range(1_000):
            cache.put(str(number), "x" * 300)
        hit = np.median(measure(lambda: cache.get("500"), repeat=300))
        twice, n = _resumed(Path(folder), 100 if small else 1_000)
    return [
        Check.at_most("wall time of a call under a trickling server, against its limit", limit, 1.05, "x"),
        Check.at_most("a hit in the cache", 1e3 * float(hit), 0.2, "ms"),
        Check.at_most(f"of {n} items, answers asked for twice after kill -9", twice, 0),
    ]


class _Counting:
    model = "counting"

    def __init__(self, path: Path, dies: int) -> None:
        self.path, self.dies, self.calls = path, dies, 0

    def complete(self, prompt: str, schema: Any, timeout: float) -> str:
        self.calls += 1
        if self.calls == self.dies:
            os.kill(os.getpid(), 9)
        with self.path.open("a") as file:
            file.write(prompt.rpartition("Text: ")[2].partition("\n")[0] + "\n")
        return '{"material": null}'


def _resumed(folder: Path, n: int) -> tuple[int, int]:
    """Return how many answered calls were made twice, killed in the middle and started again."""
    items = {"item_id": list(range(1, n + 1)), "title": [f"item number {i} of wood" for i in range(n)]}
    data = rk.Dataset.from_frame(None, items=items)

    def fill(dies: int) -> None:
        client = _Counting(folder / "calls", dies)
        cache = Cache(folder / "attributes.db")
        Attributes(client, {"material": ["wood"]}, cache=cache, concurrency=1).fill(data)

    child = os.fork()
    if child == 0:
        fill(n // 2)
        os._exit(0)
    os.waitpid(child, 0)
    fill(0)
    asked = (folder / "calls").read_text().splitlines()
    return len(asked) - len(set(asked)), len(set(asked))


def new_items(small: bool) -> list[Check]:
    """Rank new films of ml-latest-small for those who rated them well: static vectors, TF-IDF, popular words."""
    from importlib.util import find_spec

    import pyarrow.parquet as pq

    from benchmarks._data import folder

    if not (folder() / "ml-latest-small").exists():
        return []
    data = movies()
    log = pq.read_table(folder() / "ml-latest-small" / "interactions.parquet")
    code = data.item_ids.encode(log["item"].to_numpy().astype(np.int64))
    liked = (log["rating"].to_numpy() >= 4) & (code > 0)
    user, item = log["user"].to_numpy()[liked], code[liked]
    fresh = np.random.default_rng(0).random(data.n_items + 1) < 0.2
    sources: dict[str, Any] = {
        "TF-IDF and genres": candidates.Content(),
        "genres alone": candidates.Content(text=[]),
        "TF-IDF alone": candidates.Content(attributes=[]),
    }
    if find_spec("wordllama") and not small:
        from recokit.text.encoders import WordLlama

        sources["static vectors and genres"] = candidates.Content(encoder=WordLlama())
        sources["static vectors alone"] = candidates.Content(attributes=[], encoder=WordLlama())
    return [
        check
        for name, source in sources.items()
        for check in _judged(name, source.fit(data), user, item, fresh, data.n_items)
    ] + _judged_popular(user, item, fresh)


def _judged(name: str, source: Any, user: Any, item: Any, fresh: Any, n_items: int) -> list[Check]:
    from recokit.data import Ragged

    users = [
        one
        for one in np.unique(user).tolist()
        if fresh[item[user == one]].any() and (~fresh[item[user == one]]).any()
    ]
    past = Ragged.from_lists([item[(user == one)][~fresh[item[user == one]]] for one in users])
    old = np.flatnonzero(~fresh)[np.flatnonzero(~fresh) > 0]
    requests = rk.Requests.build(
        np.zeros(len(users), np.int64),
        ragged={"history": past, "exclude": Ragged.from_lists([old] * len(users))},
    )
    found = source.retrieve(requests, 10)
    gains = []
    for row, one in enumerate(users):
        truth = set(item[user == one][fresh[item[user == one]]].tolist())
        listed = found.item[found.offsets[row] : found.offsets[row + 1]].tolist()
        gains.append(_ndcg(listed, truth))
    return _interval(name, np.array(gains))


def _judged_popular(user: Any, item: Any, fresh: Any) -> list[Check]:
    """Popularity knows nothing of new items: any order of them is as good, and this is the mean of one."""
    rng = np.random.default_rng(1)
    new = np.flatnonzero(fresh)
    gains = [
        _ndcg(rng.choice(new, 10, replace=False).tolist(), truth)
        for one in np.unique(user).tolist()
        if (truth := set(item[user == one][fresh[item[user == one]]].tolist()))
    ]
    return _interval("popularity", np.array(gains))


def _ndcg(listed: list[int], truth: set[int]) -> float:
    gain = sum(1 / np.log2(place + 2) for place, one in enumerate(listed) if one in truth)
    return float(gain / sum(1 / np.log2(place + 2) for place in range(min(10, len(truth)))))


def _interval(name: str, gains: Any) -> list[Check]:
    rng = np.random.default_rng(2)
    means = [gains[rng.integers(0, len(gains), len(gains))].mean() for _ in range(500)]
    low, high = np.percentile(means, [2.5, 97.5])
    title = f"NDCG@10 on new films, {name}"
    return [
        Check.info(title, float(gains.mean())),
        Check.info(f"{title}, 95% from", float(low)),
        Check.info(f"{title}, 95% to", float(high)),
    ]


PARTS: dict[str, Callable[[bool], list[Check]]] = {
    "calls": calls,
    "explanations": explanations,
    "reading": reading,
    "serving": serving,
    "new_items": new_items,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    warnings.simplefilter("ignore", rk.errors.DataWarning)
    checks = [check for name in options.parts for check in PARTS[name](options.small)]
    report("text", checks)


if __name__ == "__main__":
    main()
