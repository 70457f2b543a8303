"""Settings: what a deployment decides, from environment variables that begin with ``SERVICE_``."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Settings of one process.

    Parameters
    ----------
    models : Path
        Folder of the published models.
    redis : str
        URL of the server for sessions and events; empty: both in memory, for one process.
    admin_key : str
        Key of the admin routes, sent as ``X-API-Key``.
    token_secret : str
        Secret that user tokens are signed with.
    demo : bool
        Whether the shop page gives each visitor a token of his own; the admin key is then shown in the log.
    rate : float
        Requests a second of one user, in the long run.
    burst : int
        Requests of one user at once.
    max_body : int
        Bytes of a request's body.
    budget_ms : float
        Time budget of a list.
    """

    models: Path = Path("build/service-models")
    redis: str = ""
    admin_key: str = field(default="", repr=False)
    token_secret: str = field(default="", repr=False)
    demo: bool = False
    rate: float = 20.0
    burst: int = 60
    max_body: int = 16_384
    budget_ms: float = 100.0

    def __post_init__(self) -> None:
        for name in ("admin_key", "token_secret"):
            given = getattr(self, name)
            if not given and self.demo:
                object.__setattr__(self, name, secrets.token_urlsafe(24))
            elif len(given) < 16:
                raise ValueError(
                    f"found SERVICE_{name.upper()} of {len(given)} characters; expected at least 16"
                )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Return the settings that the environment names; ValueError for one that cannot be read."""
        kinds = {"models": Path, "demo": lambda text: text == "1", "rate": float, "burst": int, "max_body": int,
                 "budget_ms": float}  # fmt: skip
        given = {
            one.name: kinds.get(one.name, str)(environment[f"SERVICE_{one.name.upper()}"])
            for one in fields(cls)
            if f"SERVICE_{one.name.upper()}" in environment
        }
        return cls(**given)
