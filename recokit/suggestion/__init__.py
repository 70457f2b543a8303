"""Suggestion: a pipeline chosen for the data, with the reasons and the code that builds it by hand.

:func:`suggest` looks at a dataset, tries sources, a blend of them and a ranker on a validation part cut from it, and
keeps what an interval supports. :class:`Look` is what it saw.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.suggestion.choose import suggest as suggest
    from recokit.suggestion.look import Look as Look
    from recokit.suggestion.result import Group as Group, Suggestion as Suggestion, Tried as Tried

__getattr__, __dir__ = lazy_face(__name__)
