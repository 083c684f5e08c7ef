"""What Prometheus sees of the service, at `/metrics`."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mreactor_runtime.provenance import installed_version
from mreactor_runtime.reactor import Reactor

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
CLIPS = (1, 2, 4, 8, 16, 32)
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"


class Metrics:
    """The measures of one service, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # a time beside each count
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "mreactor_requests", "Requests by status.", ["method", "status"], registry=registry
        )
        self.clips = Counter("mreactor_clips", "Clips by outcome.", ["outcome"], registry=registry)
        self.frames = Counter("mreactor_frames", "Frames of clips done.", registry=registry)
        self.reactions = Counter("mreactor_reactions", "Reactions made.", registry=registry)
        self.seconds = Histogram(
            *("mreactor_stage_seconds", "Seconds that a clip takes at a stage.", ["stage"]),
            registry=registry,
            buckets=SECONDS,
        )
        self.batch = Histogram(
            "mreactor_batch_clips", "Clips sampled at once.", registry=registry, buckets=CLIPS
        )
        self._info = Info("mreactor", "What makes the reactions.", registry=registry)

    def tell_of(self, reactor: Reactor) -> None:
        """Name the model and where it runs."""
        model = reactor.model
        facts = {"version": installed_version() or "", "engine": reactor.engine.name}
        facts |= {"model_sha256": model.sha256, "dtype": model.dtype}
        self._info.info(facts | {"device": reactor.device_name})

    def follow(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A number that is asked for whenever somebody looks."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)


class CountRequests:
    """Counts answers by their status, around an application."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = (
                    scope["method"] if scope["method"] in ("GET", "POST", "DELETE") else "other"
                )
                self._metrics.requests.labels(method, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted if scope["type"] == "http" else send)
