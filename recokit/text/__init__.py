"""Text: words in and out, with or without a language model; neither ever scores a candidate.

:class:`ParseQuery` reads queries into conditions on known columns and values.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.data.search import SearchQuery as SearchQuery
    from recokit.text.parse_query import ParseQuery as ParseQuery

__getattr__, __dir__ = lazy_face(__name__)
