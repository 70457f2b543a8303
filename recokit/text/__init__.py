"""Text: words in and out, with or without a language model; neither ever scores a candidate.

:class:`ParseQuery` reads queries into conditions on known columns and values, :class:`AskQuery` asks a model about
the words that it leaves open, :class:`Explain` tells why items are in a list, :class:`Attributes` reads attributes of
items from their texts. A model is asked through :class:`HttpClient`, or any object with ``complete``; :class:`Cache`
keeps its answers, and :class:`AuditLog` records them.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.data.search import SearchQuery as SearchQuery
    from recokit.text._sentences import SENTENCES as SENTENCES
    from recokit.text.ask_query import AskQuery as AskQuery
    from recokit.text.asking import Completes as Completes
    from recokit.text.attributes import Attributes as Attributes, Filled as Filled
    from recokit.text.cache import AuditLog as AuditLog, Cache as Cache
    from recokit.text.client import HttpClient as HttpClient
    from recokit.text.encoders import OnnxEncoder as OnnxEncoder, WordLlama as WordLlama
    from recokit.text.explain import Explain as Explain, Told as Told
    from recokit.text.parse_query import ParseQuery as ParseQuery

__getattr__, __dir__ = lazy_face(__name__)
