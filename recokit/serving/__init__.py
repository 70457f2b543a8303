"""Serving: a fitted pipeline as a service that answers within its budget, whatever fails behind it.

:class:`Precomputed` is the list that is there before the first request and when nothing else is.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.serving.precomputed import Precomputed as Precomputed

__getattr__, __dir__ = lazy_face(__name__)
