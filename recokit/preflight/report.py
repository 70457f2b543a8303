"""PreflightReport: the verdicts on the launch checklist."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recokit.data.validation.report import Check, CheckReport
from recokit.errors import ConfigurationError, DataError, did_you_mean


@dataclass(frozen=True, eq=False, repr=False)
class PreflightReport(CheckReport):
    """One check for each item of the launch checklist, in its order.

    ``report["serving.latency"]`` is one item; printing gives all, and a notebook shows them as a table. Something not
    checked is no pass: see ``unchecked``, and ``exit_code(allow_unchecked=[...])``, which names what need not be.

    Parameters
    ----------
    title, checks
        As in :class:`~recokit.data.validation.report.CheckReport`.
    """

    @property
    def ready(self) -> bool:
        """Whether every item passed: none failed, warned or was left unchecked."""
        return self.status == "pass"

    def exit_code(self, *, strict: bool = False, allow_unchecked: bool | Collection[str] = ()) -> int:
        """Return the exit code for CI: 1 if an item failed or was not checked, else 0.

        Parameters
        ----------
        strict : bool, default False
            Whether an item that warns gives 1 too.
        allow_unchecked : bool or collection of str, default ()
            Names of items that need not be checked; True for all.

        Raises
        ------
        ConfigurationError
            For a name that is no item.
        """
        return int(bool(self.blocking(strict=strict, allow_unchecked=allow_unchecked)))

    def raise_for_status(
        self, *, strict: bool = False, allow_unchecked: bool | Collection[str] = ()
    ) -> PreflightReport:
        """Return the report, or raise DataError with the items for which :meth:`exit_code` is 1; options as there."""
        bad = self.blocking(strict=strict, allow_unchecked=allow_unchecked)
        if bad:
            raise DataError(f"found {len(bad)} items that stand in the way: {'; '.join(map(str, bad))}")
        return self

    def blocking(
        self, *, strict: bool = False, allow_unchecked: bool | Collection[str] = ()
    ) -> tuple[Check, ...]:
        """Return the items for which :meth:`exit_code` is 1, worst first; options as there."""
        named = () if isinstance(allow_unchecked, bool) else tuple(allow_unchecked)
        if isinstance(allow_unchecked, str):
            named = (allow_unchecked,)
        for name in named:
            if name not in self.names:
                raise ConfigurationError(f"found allow_unchecked={name!r}; {did_you_mean(name, self.names)}")
        bad = [check for check in self.findings if strict or check.status == "fail"]
        return (*bad, *(c for c in self.unchecked if allow_unchecked is not True and c.name not in named))

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def save(self, path: str | Path) -> None:
        """Write the report: a name that ends in ``.json`` as JSON, in ``.md`` as Markdown, in ``.html`` as a page.

        Raises
        ------
        DataError
            For another ending.
        """
        path = Path(path)
        writers: dict[str, Any] = {".json": self.to_json, ".md": self.to_markdown, ".html": self.to_html}
        if path.suffix not in writers:
            raise DataError(f"found {path.name!r}; expected a name that ends in {', '.join(writers)}")
        path.write_text(writers[path.suffix](), encoding="utf-8")

    def to_html(self) -> str:
        """Return a complete page: no script, no network, light and dark."""
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Launch checklist</title>'
            f"</head><body>{self._repr_html_()}</body></html>"
        )
