"""Measure the service under load: throughput, latency and memory, into serving.md.

python -m benchmarks.serving [--inputs FOLDER] [--model NAME] [--small NAME]

Models are backbones of the finished study in this checkout, or folders of packed models. A busy machine slows clients
and service alike, so rates are compared in turn; latency needs a quiet machine.
"""

import argparse
import http.client
import itertools
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import inputs, measure, predict
from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.inputs import walk
from unfreeze.serving.locate import find_package

PAGE = Path(__file__).with_name("serving.md")
MANY, FEW = 32, 4
# Distinct images that clients send in turn.
IMAGES = 200
# Part of the requests after which memory is first read: caches and pools are full by then.
WARM = 0.02

TEXT = """# The service under load

Written by `make bench-serving`. {machine}. Load average at the start: {load}.

Clients on the same machine, each with one connection and one image a request; {images} images. Rates and ratios are
medians of {rounds} rounds that take turns, with the smallest and the largest.

| what | measured | goal |
|---|---|---|
| {model}: images a second, {many} clients | {rate} | |
| the same over `unfreeze predict` on the same images, the model loaded | {share} | at least 0.9 |
| {model}: median and p99 of one client, ms | {median}, {p99} | |
| p99 of {few} clients over p99 of one | {over_p99} | at most 2.5 |
| p99 of {few} clients over the median of one | {over_median} | |
| {small}: memory after {requests:,} requests over that after {warm:,} | {growth} | at most 1.05 |
"""


@dataclass(frozen=True)
class Service:
    """A service that runs.

    Args:
        process: Its process id.
        port: On 127.0.0.1.
    """

    process: int
    port: int

    @property
    def megabytes(self) -> float:
        """Resident memory, MB of 2^20 bytes."""
        status = Path(f"/proc/{self.process}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def main() -> None:
    """Measure and write the page."""
    options = _options()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    with tempfile.TemporaryDirectory(prefix="unfreeze-bench-") as folder:
        found = options.images or inputs.find_images(options.inputs, Path(folder))
        images = list(itertools.islice(walk(found), IMAGES))
        model, small = (find_package(Paths.here(), name).folder for name in (options.model, options.small))
        with serving(model) as service:
            rates = compare_rates(service, model, images, options.rounds, options.count)
            latencies = compare_latencies(service, images, options.rounds, options.count)
        with serving(small) as service:
            warm = max(1, int(options.requests * WARM))
            before, after = measure_growth(service, images, warm, options.requests - warm)
    text = TEXT.format(
        machine=", ".join(measure.machine().values()),
        load=load,
        images=len(images),
        rounds=options.rounds,
        model=model.name,
        small=small.name,
        many=MANY,
        few=FEW,
        **describe_rates(rates),
        **describe_latencies(latencies),
        requests=options.requests,
        warm=warm,
        growth=f"{after / before:.3f} ({before:.1f} to {after:.1f} MB)",
    )
    files.write_text(options.page, text)


@contextmanager
def serving(package: Path) -> Iterator[Service]:
    """Run `unfreeze serve` while the block does.

    Args:
        package: The packed model.
    """
    command = ["unfreeze", "serve", "--model", str(package.absolute()), "--port", "0"]
    with (
        tempfile.TemporaryDirectory(prefix="unfreeze-bench-") as folder,
        subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process,
    ):
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            if found is None:
                raise RuntimeError(f"the service does not start: {line}{process.stderr.read()}")
            yield Service(process.pid, int(found[1]))
        finally:
            process.terminate()


def compare_rates(
    service: Service, package: Path, images: Sequence[Path], rounds: int, count: int
) -> list[tuple[float, float]]:
    """Return images a second of the service and of `unfreeze predict`, a pair for each round.

    Args:
        service: Serves the package.
        package: The packed model.
        images: Files to send.
        rounds: How often both are measured, after one that warms caches.
        count: Images of each measurement.
    """
    work = predict.run_predict(Classifier(package), list(images), count)
    pairs = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        ask(service, images, MANY, count)
        pairs.append((count / (time.perf_counter() - begun), predict.measure(work).wall))
    return pairs[1:]


def compare_latencies(
    service: Service, images: Sequence[Path], rounds: int, count: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the seconds of each request with one client and with a few, a pair for each round.

    Args:
        service: The service.
        images: Files to send.
        rounds: How often both are measured, after one that warms caches.
        count: Requests of each measurement.

    Returns:
        Pairs of float64 arrays of shape (count,).
    """
    pairs = [(ask(service, images, 1, count), ask(service, images, FEW, count)) for _ in range(rounds + 1)]
    return pairs[1:]


def measure_growth(service: Service, images: Sequence[Path], warm: int, more: int) -> tuple[float, float]:
    """Return the memory of a service after some requests, and after more of them, MB of 2^20 bytes.

    Args:
        service: A service that was not asked before.
        images: Files to send.
        warm: Requests before the first reading.
        more: Requests between the two.
    """
    ask(service, images, MANY, warm)
    before = service.megabytes
    ask(service, images, MANY, more)
    return before, service.megabytes


def ask(service: Service, images: Sequence[Path], clients: int, count: int) -> np.ndarray:
    """Send requests from some clients at once, each client one after the other; return the seconds of each.

    Args:
        service: The service.
        images: Files, sent in turn.
        clients: How many ask at the same time.
        count: Requests of all clients together.

    Returns:
        float64 array of shape (count,).

    Raises:
        RuntimeError: A request was not answered with 200.
    """
    bodies = [image.read_bytes() for image in images]
    numbers, seconds, problems = iter(range(count)), np.zeros(count), []

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
        try:
            # `next` of a range's iterator is one step for all threads.
            for number in numbers:
                begun = time.perf_counter()
                connection.request("POST", "/predict", bodies[number % len(bodies)])
                response = connection.getresponse()
                said = response.read()
                seconds[number] = time.perf_counter() - begun
                if response.status != 200:
                    raise RuntimeError(f"status {response.status}: {said[:300]!r}")
        except Exception as error:
            problems.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise RuntimeError(f"{len(problems)} of {clients} clients failed, the first with {problems[0]!r}")
    return seconds


def describe_rates(pairs: Sequence[tuple[float, float]]) -> dict[str, str]:
    """Return the page's fields of what `compare_rates` returns.

    >>> describe_rates([(9.0, 10.0), (12.0, 10.0), (10.0, 10.0)])
    {'rate': '10.0 (9.0 to 12.0)', 'share': '1.00 (0.90 to 1.20)'}
    """
    return {
        "rate": _show([served for served, _ in pairs], ".1f"),
        "share": _show([served / predicted for served, predicted in pairs], ".2f"),
    }


def describe_latencies(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, str]:
    """Return the page's fields of what `compare_latencies` returns."""
    alone = np.concatenate([one for one, _ in pairs])
    return {
        "median": f"{1000 * float(np.median(alone)):.1f}",
        "p99": f"{1000 * _p99(alone):.1f}",
        "over_p99": _show([_p99(few) / _p99(one) for one, few in pairs], ".2f"),
        "over_median": _show([_p99(few) / float(np.median(one)) for one, few in pairs], ".2f"),
    }


def _p99(seconds: np.ndarray) -> float:
    return float(np.quantile(seconds, 0.99))


def _show(values: Sequence[float], form: str) -> str:
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:{form}} ({least:{form}} to {most:{form}})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=Path, default=Path("inputs"), help="folder with images, weights, opponent")
    parser.add_argument("--images", type=Path, help="folder of images; those of --inputs by default")
    parser.add_argument("--model", default="xception", help="whose rate and latency are measured")
    parser.add_argument("--small", default="from_scratch", help="whose memory is measured")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=1000, help="requests of a measurement")
    parser.add_argument("--requests", type=int, default=100_000, help="requests of the measurement of memory")
    parser.add_argument("--page", type=Path, default=PAGE, help="what is written")
    return parser.parse_args()


if __name__ == "__main__":
    main()
