"""KafkaTopic: an event log on Kafka."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from recokit._utils.options import above, finite, require
from recokit.errors import ConfigurationError, StageError
from recokit.serving.events import Message, encoded


class KafkaTopic:
    """Event log in a topic of Kafka.

    Needs the extra ``recokit[kafka]``.

    Parameters
    ----------
    servers : str
        ``host:port``, several with commas between.
    topic : str, default "events"
        Name of the topic. Events of one user go to one partition, so that they stay in order.
    group : str, optional
        Readers of one group share the partitions, and the broker keeps what they committed. Without a group this reader
        gets every entry, and begins at ``start`` each time: for live events, which each process has its own of.
    start : float, default 0.0
        Seconds since 1970: where to begin without a group. A new group begins with the oldest entry.
    timeout : float, default 10.0
        Seconds that the broker has for anything but waiting for entries.
    options : mapping of str to object, optional
        Further options of librdkafka, such as ``{"security.protocol": "SASL_SSL"}``; they are not shown by repr.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or confluent-kafka is not installed.

    Examples
    --------
    >>> KafkaTopic("localhost:9092", group="recommender")
    KafkaTopic('localhost:9092', topic='events', group='recommender')
    """

    def __init__(
        self,
        servers: str,
        *,
        topic: str = "events",
        group: str | None = None,
        start: float = 0.0,
        timeout: float = 10.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        require(above(0), timeout=timeout)
        require(finite(0), start=start)
        for name, value in {"servers": servers, "topic": topic, "group": group}.items():
            if value == "":
                raise ConfigurationError(f"found {name}=''; expected a name")
        self.servers, self.topic, self.group, self.start = servers, topic, group, start
        self.timeout, self.options = timeout, dict(options or {})

    def __repr__(self) -> str:
        group = "" if self.group is None else f", group={self.group!r}"
        return f"KafkaTopic({self.servers!r}, topic={self.topic!r}{group})"

    def poll(self, limit: int, timeout: float) -> Sequence[Message]:
        """Return the next entries.

        Raises
        ------
        StageError
            If the broker says that something is wrong. While it is only gone there are no entries.
        """
        found = []
        for message in self._asked("consume", limit, max(timeout, 0.0)):
            if message.error() is not None:
                raise self._failed(message.error())
            found.append(Message(f"{message.partition()}/{message.offset()}", message.value() or b""))
        return found

    def commit(self, messages: Sequence[Message]) -> None:
        """Commit offsets and wait until the broker has them; without a group there is nothing to say.

        Raises
        ------
        StageError
            If the broker does not take them, as when the partition went to another reader of the group.
        """
        if self.group is None or not messages:
            return
        from confluent_kafka import TopicPartition

        following: dict[int, int] = {}
        for message in messages:
            partition, offset = map(int, message.position.split("/"))
            following[partition] = max(following.get(partition, 0), offset + 1)
        offsets = [TopicPartition(self.topic, *pair) for pair in following.items()]
        self._asked("commit", offsets=offsets, asynchronous=False)

    def append(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Write events and wait until the broker has them.

        Raises
        ------
        DataError
            If one is no event; then none is written.
        StageError
            If the broker does not take all of them: some may be written. Events with an ``event_id`` may be written
            again.
        """
        refused: list[Any] = []
        contents = [(str(event["user_id"]), encoded(event)) for event in events]
        for key, content in contents:
            self._producer.produce(
                self.topic,
                content,
                key,
                on_delivery=lambda error, _: refused.append(error) if error else None,
            )
        left = self._producer.flush(self.timeout)
        if refused or left:
            raise self._failed(refused[0] if refused else f"{left} events not taken in {self.timeout:g} s")

    def close(self) -> None:
        """Leave the group; the next poll joins it again."""
        if "_consumer" in self.__dict__:
            self.__dict__.pop("_consumer").close()

    @cached_property
    def _consumer(self) -> Any:
        kafka = _kafka()
        consumer = kafka.Consumer(
            {
                **self.options,
                "bootstrap.servers": self.servers,
                # The library wants a name in any case; nothing is committed under this one.
                "group.id": self.group or f"recokit-{uuid.uuid4().hex}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        if self.group is not None:
            consumer.subscribe([self.topic])
            return consumer
        try:
            known = consumer.list_topics(self.topic, self.timeout).topics[self.topic].partitions
            if self.start:
                since = [kafka.TopicPartition(self.topic, one, math.floor(1e3 * self.start)) for one in known]
                consumer.assign(consumer.offsets_for_times(since, self.timeout))
            else:
                consumer.assign(
                    [kafka.TopicPartition(self.topic, one, kafka.OFFSET_BEGINNING) for one in known]
                )
        except kafka.KafkaException as error:
            consumer.close()
            raise self._failed(error) from error
        return consumer

    @cached_property
    def _producer(self) -> Any:
        options = {"linger.ms": 5, "delivery.timeout.ms": math.ceil(1e3 * self.timeout)}
        return _kafka().Producer({**options, **self.options, "bootstrap.servers": self.servers})

    def _asked(self, method: str, *args: Any, **options: Any) -> Any:
        consumer, kafka = self._consumer, _kafka()
        try:
            return getattr(consumer, method)(*args, **options)
        except kafka.KafkaException as error:
            raise self._failed(error) from error

    def _failed(self, error: Any) -> StageError:
        return StageError(
            f"found no answer from topic {self.topic!r} of {self.servers}: {error}",
            name="kafka_topic",
            role="event log",
            cause=error if isinstance(error, BaseException) else None,
        )


def _kafka() -> Any:
    try:
        import confluent_kafka
    except ImportError as error:
        raise ConfigurationError(
            "found no confluent-kafka, which reads Kafka; expected it installed; hint: pip install 'recokit[kafka]'"
        ) from error
    return confluent_kafka
