"""What the service counts, for Prometheus."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from unfreeze.serving.abstention import UNLIKE

Phase = Literal["receive", "decode", "wait", "network", "answer", "whole"]
# Answers that the share of unlike images is taken over.
RECENT = 1000
# Seconds: from a small network on a fast machine to the time limit.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Paths that a label may name; clients can make up any number of others.
PATHS = ("/", "/predict", "/explain", "/metrics")
OTHER = "other"


class Counters:
    """Counters of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        registry = self.registry
        self._requests = Counter(
            "unfreeze_requests", "Requests by path and status.", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "unfreeze_phase_seconds",
            "Time of each phase.",
            ["phase"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._running = Gauge("unfreeze_running_requests", "Requests that are worked on or wait.", registry=registry)
        self._waiting = Gauge("unfreeze_waiting_images", "Images that wait for the network.", registry=registry)
        self._model = Gauge(
            "unfreeze_model", "The model that answers.", ["name", "version", "digest"], registry=registry
        )
        self._refusals = Counter("unfreeze_refusals", "Requests refused, by reason.", ["reason"], registry=registry)
        self._rejections = Counter("unfreeze_rejections", "Answers not accepted.", ["reason"], registry=registry)
        self._classes = Counter("unfreeze_answers", "Answers by class.", ["class"], registry=registry)
        self._unlike = Gauge("unfreeze_unlike_share", f"Unlike training, of the last {RECENT}.", registry=registry)
        self._reloads = Counter("unfreeze_reloads", "Checks for a new version.", ["result"], registry=registry)
        self._failing = Gauge("unfreeze_reload_failing", "1 if the last check failed.", registry=registry)
        self._recent: deque[bool] = deque(maxlen=RECENT)

    @contextmanager
    def measure(self, phase: Phase) -> Iterator[None]:
        """Measure how long a block takes."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.observe(phase, time.perf_counter() - begun)

    def observe(self, phase: Phase, seconds: float) -> None:
        """Count how long a phase took."""
        self._seconds.labels(phase).observe(seconds)

    def count_request(self, path: str, status: int) -> None:
        """Count an answered request."""
        self._requests.labels(_name_path(path), str(status)).inc()

    def count_refusal(self, reason: str) -> None:
        """Count why a request was refused."""
        self._refusals.labels(reason).inc()

    def count_answer(self, name: str, reason: str) -> None:
        """Count an image's answer: its class, and why it is not accepted, if so."""
        self._classes.labels(name).inc()
        if reason:
            self._rejections.labels(reason).inc()
        self._recent.append(reason == UNLIKE)
        self._unlike.set(sum(self._recent) / len(self._recent))

    def set_running(self, requests: int) -> None:
        """Say how many requests are worked on."""
        self._running.set(requests)

    def set_waiting(self, images: int) -> None:
        """Say how many images wait for the network."""
        self._waiting.set(images)

    def set_model(self, name: str, version: str | None, digest: str, classes: Sequence[str]) -> None:
        """Say which model answers from now on; the counts of its classes begin at 0."""
        for one in classes:
            self._classes.labels(one)
        self._model.clear()
        self._model.labels(name, version or "", digest).set(1)

    def count_reload(self, result: Literal["swapped", "failed"]) -> None:
        """Count a new version that was taken, or a check that failed."""
        self._reloads.labels(result).inc()
        self.set_failing(result == "failed")

    def set_failing(self, failing: bool) -> None:
        """Say whether the last check for a new version failed."""
        self._failing.set(int(failing))

    def write(self) -> bytes:
        """Return all counters in Prometheus' text format."""
        return generate_latest(self.registry)


def _name_path(path: str) -> str:
    if path in PATHS:
        return path
    return "/v2" if path.startswith("/v2") else OTHER
