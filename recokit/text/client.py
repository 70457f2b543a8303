"""HttpClient: a language model behind an API as OpenAI's, local or hosted."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from recokit._utils.options import one_of, require, shortened, whole
from recokit._utils.resilience.breaker import Breaker
from recokit._utils.resilience.bulkhead import Bulkhead
from recokit._utils.resilience.dependency import Dependency
from recokit.data.times import Duration, seconds
from recokit.errors import ConfigurationError, StageError
from recokit.text.asking import Schema

if TYPE_CHECKING:
    import urllib3

#: Bytes of an answer; what is longer is none.
_LONGEST = 1 << 20
_CHUNK = 1 << 12


class HttpClient:
    """A model that answers ``POST {url}/chat/completions``, as most servers do; needs the extra ``llm``.

    Parameters
    ----------
    url : str
        Such as ``"http://127.0.0.1:8080/v1"``.
    model : str
        Its name there.
    timeout : duration, default "3s"
        Of a call, by the wall clock: also where the server sends a byte now and then.
    endpoint : {"chat/completions", "completions"}, default "chat/completions"
        The second for base models, which go on with a prompt.
    api_key : str, optional
        Sent as a bearer token, never shown.
    max_tokens : int, default 256
        Of an answer.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or, at the first call, urllib3 is not installed.
    DataError
        If the timeout is no duration.

    Attributes
    ----------
    used : dict of str to int
        Calls, and tokens as the server counts them: ``{"calls": 2, "prompt": 310, "answer": 44}``.

    Examples
    --------
    >>> HttpClient("http://127.0.0.1:8080/v1", model="small")
    HttpClient('http://127.0.0.1:8080/v1', model='small')
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        timeout: Duration = "3s",
        endpoint: str = "chat/completions",
        api_key: str | None = None,
        max_tokens: int = 256,
    ) -> None:
        require(one_of("chat/completions", "completions"), endpoint=endpoint)
        require(whole(1), max_tokens=max_tokens)
        self.url, self.model, self.timeout = url.rstrip("/"), model, seconds(timeout)
        self.endpoint, self.max_tokens, self._api_key = endpoint, max_tokens, api_key
        self.used = {"calls": 0, "prompt": 0, "answer": 0}
        self._lock = threading.Lock()
        self._dependency = Dependency(Bulkhead(8, self.timeout), Breaker(least=5))
        self._pool: urllib3.PoolManager | None = None

    def __repr__(self) -> str:
        return f"HttpClient({self.url!r}, model={self.model!r})"

    def complete(self, prompt: str, schema: Schema, timeout: float | None = None) -> str:
        """Return the model's answer to a prompt, JSON of a schema.

        Raises
        ------
        SourceTimeout
            If it does not come in time, or the server failed so often that it is not asked now.
        StageError
            If the server answers with an error or something else than an answer, or does not answer at all.
        """
        limit = self.timeout if timeout is None else min(timeout, self.timeout)
        until = time.monotonic() + limit
        wait = self._dependency.start("text.client", lambda: self._asked(prompt, schema, until), "client")
        return wait(limit)

    def _asked(self, prompt: str, schema: Schema, until: float) -> str:
        connections = self._connections()
        from urllib3.exceptions import HTTPError

        try:
            return self._post(connections, prompt, schema, until)
        except HTTPError as error:  # refused, broken off, or the socket's own limit just before the clock's
            raise self._error(f"no answer ({shortened(error)})") from error

    def _post(self, connections: urllib3.PoolManager, prompt: str, schema: Schema, until: float) -> str:
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": self.max_tokens,
            "temperature": 0,
            "seed": 0,
        }
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": dict(schema)},
        }
        chat = self.endpoint == "chat/completions"
        body |= {"messages": [{"role": "user", "content": prompt}]} if chat else {"prompt": prompt}
        headers = {"Content-Type": "application/json"}
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key}"
        response = connections.request(
            "POST",
            f"{self.url}/{self.endpoint}",
            body=json.dumps(body).encode(),
            headers=headers,
            timeout=max(until - time.monotonic(), 1e-3),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        found = bytearray()
        try:
            # A byte now and then keeps a socket's own limit from ending: the clock is looked at after each.
            while chunk := response.read1(_CHUNK):
                found += chunk
                if len(found) > _LONGEST or time.monotonic() > until:
                    raise self._error("an answer that is too long, or too slow")
        finally:
            response.close()
        if response.status != 200:
            raise self._error(f"status {response.status}")
        return self._text(bytes(found), chat=chat)

    def _text(self, found: bytes, *, chat: bool) -> str:
        try:
            answer = json.loads(found)
            choice, usage = answer["choices"][0], answer.get("usage") or {}
            text = choice["message"]["content"] if chat else choice["text"]
            counts = int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise self._error("something else than an answer") from error
        with self._lock:
            self.used["calls"] += 1
            self.used["prompt"] += counts[0]
            self.used["answer"] += counts[1]
        return str(text)

    def _connections(self) -> urllib3.PoolManager:
        if self._pool is None:
            try:
                import urllib3
            except ImportError as error:
                raise ConfigurationError(
                    "found no urllib3; expected it; hint: pip install 'recokit[llm]'"
                ) from error
            self._pool = urllib3.PoolManager(maxsize=8)
        return self._pool

    def _error(self, what: str) -> StageError:
        return StageError(f"found {what} from {self.url}", name="text.client", role="client")
