"""Prometheus metrics of the face, labelled by route and never by what a caller sends."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counts and times of requests, in a registry of the application's own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "kyros_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "kyros_http_request_seconds",
            "Seconds until the answer was sent; streams are left out.",
            ("method", "route"),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._streams = Gauge(
            "kyros_http_streams", "Event streams open now.", registry=self._registry
        )
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._timers: dict[tuple[str, str], Histogram] = {}

    def count(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """One request of this route was answered; a stream has no time worth keeping."""
        counted = (method, route, status)
        counter = self._counters.get(counted)
        if counter is None:
            counter = self._counters[counted] = self._requests.labels(method, route, str(status))
        counter.inc()
        if seconds is None:
            return
        timed = (method, route)
        timer = self._timers.get(timed)
        if timer is None:
            timer = self._timers[timed] = self._seconds.labels(method, route)
        timer.observe(seconds)

    def exposition(self, open_streams: int) -> bytes:
        """All of it in Prometheus' text format."""
        self._streams.set(open_streams)
        return generate_latest(self._registry)
