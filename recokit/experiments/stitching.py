"""Stitching: one unit for a person before and after the login."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

from recokit.experiments.hashing import unit_names


class Stitching:
    """Give a visitor who logs in the unit under which the person was seen first.

    The rule: *the first sight wins*. A user who was seen anonymously first keeps the visitor's unit, and so the arm, on
    every device from then on. A user who was known first keeps the user's unit; what the same person saw before as
    another visitor stays that visitor's, and the analysis counts both. A second user on a visitor's device is a unit of
    his own. A visitor who has logged out again has the unit of the user that the device was linked to.

    Parameters
    ----------
    visitor : str, default "visitor_id"
        Context column of the visitor, which is there before and after the login.
    links : mutable mapping of str to str, optional
        Unit of each user (``"user:..."``) and visitor (``"visitor:..."``) that was seen: any store that several
        processes share, a dictionary by default.

    Examples
    --------
    >>> stitching = Stitching()
    >>> stitching.units([None, "ann", "ann"], ["v1", "v1", "v2"])
    ['visitor:v1', 'visitor:v1', 'visitor:v1']
    >>> stitching.units(["bob", None], ["v1", "v2"])
    ['user:bob', 'visitor:v1']
    """

    def __init__(self, visitor: str = "visitor_id", *, links: MutableMapping[str, str] | None = None) -> None:
        self.visitor = visitor
        self.links: MutableMapping[str, str] = {} if links is None else links

    def units(self, users: Sequence[Any], visitors: Sequence[Any]) -> list[str | None]:
        """Return the unit of each request, in their order, and remember it; None where neither id is known."""
        return [self._unit(user, visitor) for user, visitor in zip(users, visitors, strict=True)]

    def _unit(self, user: Any, visitor: Any) -> str | None:
        person = None if user is None else f"user:{unit_names([user])[0]}"
        device = None if visitor is None else f"visitor:{unit_names([visitor])[0]}"
        links = self.links
        if person is None:
            return None if device is None else links.setdefault(device, device)
        if person not in links:
            # Free is a device that was seen, and that nobody has logged in on.
            free = device is not None and links.get(device) == device and f"taken {device}" not in links
            links[person] = str(device) if free else person
        if device is not None and f"taken {device}" not in links:
            links[f"taken {device}"], links[device] = person, links[person]
        return links[person]
