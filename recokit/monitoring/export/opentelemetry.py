"""Spans: a span of OpenTelemetry for each run, with one for each stage below it."""

from __future__ import annotations

from typing import Any

from recokit.monitoring.monitor import when
from recokit.trace import Status, Trace

#: Nanoseconds of a second.
_NS = 1e9


class Spans:
    """Report runs to OpenTelemetry. Needs the extra ``opentelemetry``.

    Only its API is used: without an SDK that the application sets up, nothing happens. Times are those of the requests.
    Wrap it in :class:`Background` unless the SDK has a batch processor.

    Parameters
    ----------
    tracer : opentelemetry.trace.Tracer, optional
        ``opentelemetry.trace.get_tracer("recokit")`` by default.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> data = rk.testing.toy_dataset()
    >>> pipeline = rk.Pipeline([candidates.Popular()], observers=[Spans()]).fit(data)
    >>> _ = pipeline.recommend(["user-1"], now=data.until)
    """

    def __init__(self, tracer: Any = None) -> None:
        from opentelemetry import trace as telemetry

        self.tracer = telemetry.get_tracer("recokit") if tracer is None else tracer
        self._under = telemetry.set_span_in_context
        self._error = telemetry.StatusCode.ERROR

    def observe(self, trace: Trace) -> None:
        """Report a run."""
        start = when(trace)
        run = self.tracer.start_span(
            "recokit.recommend",
            start_time=int(start * _NS),
            attributes={
                "recokit.requests": len(trace.requests),
                "recokit.items": len(trace.selected),
                "recokit.model": trace.fingerprint,
                "recokit.status": Status(int(trace.status.max(initial=0))).name.lower(),
            },
        )
        below = self._under(run)
        for event in trace.events:
            span = self.tracer.start_span(
                f"recokit.{event.role}",
                context=below,
                start_time=int((start + event.started) * _NS),
                attributes={
                    "recokit.stage": event.name,
                    "recokit.candidates_in": event.n_in,
                    "recokit.candidates_out": event.n_out,
                    **({"recokit.skipped": event.skipped} if event.skipped else {}),
                },
            )
            if event.error:
                span.set_status(self._error, event.error)
            span.end(end_time=int((start + event.started + event.seconds) * _NS))
        if (trace.status == Status.FAILED).any():
            run.set_status(self._error, "; ".join(next(reasons for reasons in trace.reasons if reasons)))
        run.end(end_time=int((start + trace.seconds) * _NS))
