"""Distributed: the same answers on an engine that a team has: Spark, or plain processes over Parquet.

A job such as :class:`Recommend` maps Arrow batches to Arrow batches; an engine says which process gets which.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.distributed.evaluating import evaluate as evaluate
    from recokit.distributed.recommend import Recommend as Recommend
    from recokit.distributed.running import RunReport as RunReport, run as run
    from recokit.distributed.training import training_rows as training_rows

__getattr__, __dir__ = lazy_face(__name__)
