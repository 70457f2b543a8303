"""Asking: a model is asked within a time limit, its answers are kept and recorded, and it may fail in any way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from recokit._utils.options import error_text
from recokit._utils.resilience.breaker import Breaker
from recokit._utils.resilience.bulkhead import Bulkhead
from recokit._utils.resilience.dependency import Dependency
from recokit.data.times import Duration, seconds
from recokit.errors import ConfigurationError
from recokit.text.cache import AuditLog, Cache, key_of

#: JSON schema of an answer.
Schema = Mapping[str, Any]
#: Characters of an answer that are looked at.
_LONGEST = 20_000


@runtime_checkable
class Completes(Protocol):
    """A language model: from a prompt to an answer, JSON of a schema; ``model`` names it, in keys of caches too."""

    model: str

    def complete(self, prompt: str, schema: Schema, timeout: float) -> str:
        """Return the answer within so many seconds, or raise."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the fields of an answer, or why there are none.

    Parameters
    ----------
    fields : mapping or None
        None where the model failed, or its answer is no JSON object with the fields of the schema.
    error : str
    cached : bool
    raw : str or None
        As it came.
    key : str
        In the cache.
    """

    fields: Mapping[str, Any] | None
    error: str = ""
    cached: bool = False
    raw: str | None = None
    key: str = ""


class Asking:
    """Asks a client, each call behind a bulkhead and a breaker, within a time limit.

    Parameters
    ----------
    client : object with ``complete`` and ``model``
    cache : Cache, optional
    log : AuditLog, optional
    timeout : duration, default "3s"
        Of each call, by the wall clock, whatever the client does.
    """

    def __init__(
        self,
        client: Completes,
        *,
        cache: Cache | None = None,
        log: AuditLog | None = None,
        timeout: Duration = "3s",
        places: int = 8,
    ) -> None:
        if not isinstance(client, Completes):
            raise ConfigurationError(
                f"found client {type(client).__name__}; expected an object with model and "
                "complete(prompt, schema, timeout); hint: text.HttpClient(url, model=...)"
            )
        self.client, self.cache, self.log, self.timeout = client, cache, log, seconds(timeout)
        self.places = places
        self._dependency = Dependency(Bulkhead(places, self.timeout), Breaker(least=5))

    def __reduce__(self) -> Any:
        return _rebuilt, (self.client, self.cache, self.log, f"{self.timeout}s", self.places)

    def __call__(self, prompt: str, schema: Schema, facts: str = "") -> Answer:
        """Return the model's answer, a kept one where there is; whatever goes wrong is an answer without fields."""
        key = key_of(prompt, schema, self.client.model, facts)
        kept = None if self.cache is None else self.cache.get(key)
        if kept is not None:
            return self._read(kept, schema, key, cached=True)
        try:
            wait = self._dependency.start(
                "text.client", lambda: self.client.complete(prompt, schema, self.timeout), "client"
            )
            raw = wait(self.timeout)
        except Exception as error:  # a model that fails is a model that said nothing
            return Answer(None, error_text(error), key=key)
        if not isinstance(raw, str):
            return Answer(None, f"found {type(raw).__name__} from the client; expected text", key=key)
        if self.cache is not None:
            self.cache.put(key, raw)
        return self._read(raw, schema, key, cached=False)

    def has(self, prompt: str, schema: Schema, facts: str = "") -> bool:
        """Tell whether an answer is kept already."""
        key = key_of(prompt, schema, self.client.model, facts)
        return self.cache is not None and self.cache.get(key) is not None

    def _read(self, raw: str, schema: Schema, key: str, *, cached: bool) -> Answer:
        try:
            fields = json.loads(raw[:_LONGEST])
        except (ValueError, RecursionError):
            return Answer(None, "the answer is no JSON", cached, raw, key)
        if not isinstance(fields, dict) or not set(schema.get("required", ())) <= fields.keys():
            return Answer(None, "the answer has not the fields of the schema", cached, raw, key)
        return Answer(fields, "", cached, raw, key)

    def record(self, prompt: str, answer: Answer, verdict: str) -> None:
        """Write down what was asked, answered and decided; what came from the cache was written down before."""
        if self.log is not None and not answer.cached:
            self.log.add(
                model=self.client.model,
                prompt=prompt,
                answer=answer.raw,
                verdict=verdict if answer.fields is not None else f"failed: {answer.error}",
            )


def _rebuilt(
    client: Completes, cache: Cache | None, log: AuditLog | None, timeout: str, places: int
) -> Asking:
    return Asking(client, cache=cache, log=log, timeout=timeout, places=places)
