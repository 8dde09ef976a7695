"""Measure fastai, timm and this pipeline, keep each measurement in peers.json as soon as it is there, write peers.md.

    python -m benchmarks.peers [--inputs FOLDER] [--python FILE] [--only TITLE ...] [--repeats 3]

A measurement that is there is not made again, so that an interrupted run goes on; `--again` begins anew. Each kind of
processor has measurements of its own, and the page shows all.
"""

import argparse
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import pages, pipeline
from benchmarks.inputs import Case, Inputs
from benchmarks.peers import environment, full_depth, opponents, ours, page, variants
from benchmarks.peers.opponents import PEERS
from benchmarks.peers.ours import Split
from unfreeze.runtime.console import log
from unfreeze.runtime.processor_kind import find_processor_kind

RESULTS = Path(__file__).parents[1] / "peers.json"


def main() -> None:
    """Run what is asked for."""
    options = _options()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    python = options.python or environment.make()
    begin = partial(pages.begin_of_kind, RESULTS, again=options.again)
    with pages.session(begin, options.inputs, options.scratch) as (given, begun, scratch):
        here = {"peers": environment.find_versions(python), "epochs": options.epochs}
        results = {"runs": {}, "full_depth": {}, "labels": "", "ported": {}, "load": load, **here} | begun
        refusal = f"{RESULTS.name} holds results of other peers or epochs: begin anew with --again"
        pages.expect_same(results, here, refusal)
        precisions = variants.list_precisions(find_processor_kind())
        if not options.only_steps:
            _measure_runs(results, given, python, scratch, options, precisions)
        for name in full_depth.BACKBONES:
            for precision in precisions:
                if not options.only or name in {title.split()[0] for title in options.only}:
                    _measure_step(results, name, precision, python, options.repeats)


def _measure_runs(
    results: dict[str, Any],
    given: Inputs,
    python: Path,
    scratch: Path,
    options: argparse.Namespace,
    precisions: tuple[Any, ...],
) -> None:
    """Prove that the networks are the same, then run all sides in turn."""
    chosen = [
        case
        for case in variants.list_variants(given, precisions)
        if not options.only or variants.title(case) in options.only
    ]
    ported = scratch / "ported"
    for case in {case.name: case for case in chosen}.values():
        results["ported"][case.name] = opponents.port(python, case, ported)
        log.info("%s: features differ by %.1e of the largest", case.name, results["ported"][case.name])
    if not chosen:
        return
    split = ours.split(chosen[0], given.images, scratch)
    results["labels"] = " ".join(map(str, split.labels))
    for case in chosen:
        runs = results["runs"].setdefault(variants.title(case), _begin(case))
        sides = {
            "ours": partial(_run_ours, case, given, scratch, options.epochs),
            **{peer: partial(_run_peer, python, peer, case, given, split, ported, options.epochs) for peer in PEERS},
        }
        while min(len(runs[side]) for side in sides) < options.repeats:
            for side, run in sides.items():
                if len(runs[side]) < options.repeats:
                    taken, correct = run()
                    log.info("%s, %s: %.0f s", variants.title(case), side, taken["seconds"])
                    runs[side].append({**taken, "correct": _write_correct(correct, split)})
                    _keep(results)


def _begin(case: Case) -> dict[str, Any]:
    fields = {"backbone": case.name, "point": case.point, "precision": case.precision, "floor": case.floor}
    return {**fields, "ours": [], **{peer: [] for peer in PEERS}}


def _run_ours(case: Case, given: Inputs, scratch: Path, epochs: int) -> tuple[dict[str, Any], dict[str, bool]]:
    outcome, correct = ours.run(case, given.images, scratch, epochs)
    taken = {
        "commit": pipeline.name_commit(),
        "seconds": outcome.run.seconds,
        "peak_mb": outcome.run.peak_mb,
        "epoch_seconds": outcome.epoch_seconds,
        "accuracy": outcome.accuracy,
    }
    return taken, correct


def _run_peer(
    python: Path, peer: str, case: Case, given: Inputs, split: Split, ported: Path, epochs: int
) -> tuple[dict[str, Any], dict[str, bool]]:
    run, said = opponents.run(python, peer, case, images=given.images, split=split, ported=ported, epochs=epochs)
    taken = {"seconds": run.seconds, "peak_mb": run.peak_mb}
    return {**taken, "epoch_seconds": said["epoch_seconds"], "accuracy": said["accuracy"]}, said["correct"]


def _write_correct(correct: Mapping[str, bool], split: Split) -> str:
    """Return a digit for each test image, 1 where it is right, in the order of `Split.test`."""
    return "".join(str(int(right)) for right in split.sort_correct(correct))


def _measure_step(results: dict[str, Any], name: str, precision: str, python: Path, repeats: int) -> None:
    runs = results["full_depth"].setdefault(f"{name} {precision}", {})
    while len(runs.get(full_depth.MODES[-1], ())) < repeats:
        full_depth.measure_in_turn(python, name, precision, runs)
        log.info("%s %s, whole network: %.2f times PyTorch", name, precision, full_depth.compare(runs)["ratio"])
        _keep(results)


def _keep(results: dict[str, Any]) -> None:
    """Write the measurements and the page, so that an interrupted run leaves both as far as it came."""
    page.write(pages.keep_of_kind(RESULTS, results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=Path, default=Path("inputs"), help="folder with images, weights, opponent")
    parser.add_argument("--python", type=Path, help="of an environment that has the peers; made by default, 5 GB")
    parser.add_argument("--only", nargs="+", metavar="TITLE", help="variants such as 'xception all float32'")
    parser.add_argument("--only-steps", action="store_true", help="measure the steps of whole networks alone")
    parser.add_argument("--repeats", type=int, default=3, help="runs each way; the table shows medians")
    parser.add_argument("--epochs", type=int, default=pipeline.EPOCHS, help="of the head, and of fine-tuning")
    parser.add_argument("--again", action="store_true", help="forget the results of this kind of processor")
    parser.add_argument("--scratch", type=Path, help="where clones are made; 2 GB a run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
