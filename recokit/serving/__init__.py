"""Serving: a fitted pipeline as a service that answers within its budget, whatever fails behind it.

:class:`Service` runs what waits together and gives each request its :class:`Answer`. :class:`Shed` turns requests away
while too many wait, after :class:`Quality` has lowered the effort of each; :class:`Door` does so at the edge of a web
application. :class:`ListCache` keeps lists made earlier, and :class:`Precomputed` is the one that is there before the
first request. :class:`DrillReport` tells what is answered without a stage, and :class:`ServiceMonitor` counts it all.
:class:`Artifacts` are versions of a model on disk, of which one serves; :class:`Golden` are the questions that a new
version is asked before it may. A :class:`Feed` reads an event log (:class:`RedisStream`, :class:`KafkaTopic`,
:class:`ResidentLog`) into live events and sessions; :class:`Refresh` does jobs on schedules, beside serving.
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.serving.artifacts import Artifacts as Artifacts, Version as Version
    from recokit.serving.ask import Answer as Answer
    from recokit.serving.counts import ServiceMonitor as ServiceMonitor
    from recokit.serving.door import Door as Door
    from recokit.serving.drill import Drilled as Drilled, DrillReport as DrillReport
    from recokit.serving.events import (
        EventLog as EventLog,
        Fed as Fed,
        Feed as Feed,
        Message as Message,
        ResidentLog as ResidentLog,
    )
    from recokit.serving.golden import Golden as Golden, GoldenReport as GoldenReport
    from recokit.serving.kafka_topic import KafkaTopic as KafkaTopic
    from recokit.serving.lists import ListCache as ListCache
    from recokit.serving.precomputed import Precomputed as Precomputed
    from recokit.serving.quality import Quality as Quality
    from recokit.serving.redis_stream import RedisStream as RedisStream
    from recokit.serving.refresh import (
        Job as Job,
        JobStatus as JobStatus,
        Refresh as Refresh,
        aging as aging,
        learned_on as learned_on,
    )
    from recokit.serving.service import Service as Service
    from recokit.serving.shed import Shed as Shed

__getattr__, __dir__ = lazy_face(__name__)
