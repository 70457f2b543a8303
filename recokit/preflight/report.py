"""PreflightReport: the verdicts on the launch checklist."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recokit.data.validation.report import CheckReport
from recokit.errors import DataError


@dataclass(frozen=True, eq=False, repr=False)
class PreflightReport(CheckReport):
    """One check for each item of the launch checklist, in its order.

    ``report["serving.latency"]`` is one item; printing gives all, and a notebook shows them as a table. Something not
    checked is no pass: see ``unchecked``, and ``exit_code(strict=True)``.

    Parameters
    ----------
    title, checks
        As in :class:`~recokit.data.validation.report.CheckReport`.
    """

    @property
    def ready(self) -> bool:
        """Whether every item passed: none failed, warned or was left unchecked."""
        return self.status == "pass"

    def exit_code(self, *, strict: bool = False) -> int:
        """Return the exit code for CI: 1 if an item failed, or with ``strict`` if any did not pass; else 0."""
        return int(not self.ready if strict else not self.ok)

    def raise_for_status(self, *, strict: bool = False) -> PreflightReport:
        """Return the report, or raise DataError with every item that failed; with ``strict``, that did not pass."""
        self.assert_ok(strict=strict)
        return self

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
