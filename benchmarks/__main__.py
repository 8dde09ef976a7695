"""Measure, keep each measurement in results.json as soon as it is there, and write results.md.

    python -m benchmarks [--inputs FOLDER] [--only TITLE ...] [--repeats 3] [--growth]

A measurement that is there is not made again, so that an interrupted run goes on; `--again` begins anew. Each kind of
processor has measurements of its own, and the page shows all.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import growth, inputs, pages, pipeline, report
from benchmarks.opponent import measure_guide

RESULTS = Path(__file__).parent / "results.json"


def main() -> None:
    """Run what is asked for."""
    options = _options()
    begin = partial(pages.begin_of_kind, RESULTS, again=options.again)
    with pages.session(begin, options.inputs, options.scratch) as (given, begun, scratch):
        results = {"runs": {}, "limits": {}, "growth": {}} | begun
        for case in given.cases:
            if not options.only or case.title in options.only:
                _measure_case(results, case, given, scratch, options.repeats)
        if options.growth:
            case = given.cases[-1]
            results["growth"].setdefault("title", case.title)
            rows = results["growth"].setdefault("rows", [])
            for count in growth.COUNTS:
                if count not in [row["images"] for row in rows]:
                    rows.append(growth.measure(case, given.images, scratch, count))
                    _keep(results)


def _measure_case(
    results: dict[str, Any], case: inputs.Case, given: inputs.Inputs, scratch: Path, repeats: int
) -> None:
    """Run both ways in turn, then the single steps."""
    runs = results["runs"].setdefault(
        case.title, {"builder": case.builder, "point": case.point, "floor": case.floor, "ours": [], "guide": []}
    )
    # The guide's way is the same whatever this pipeline computes in: its runs serve all precisions.
    of_backbone = [other["guide"] for title, other in results["runs"].items() if title.split()[0] == case.name]
    runs["guide"] = max(of_backbone, key=len)
    paths, settings = None, [*pipeline.SETTINGS, *pipeline.settings_of(case, given.images)]
    while min(len(runs["ours"]), len(runs["guide"])) < repeats:
        if len(runs["ours"]) < repeats:
            paths = pipeline.clone(scratch / case.name, settings)
            outcome = pipeline.run(paths, case)
            runs["ours"].append(
                {
                    "commit": pipeline.name_commit(),
                    "seconds": outcome.run.seconds,
                    "processor_seconds": outcome.run.processor_seconds,
                    "peak_mb": outcome.run.peak_mb,
                    "epoch_seconds": outcome.epoch_seconds,
                    "stages": outcome.stages,
                    "parts": outcome.parts,
                    "accuracy": outcome.accuracy,
                    "test_images": outcome.test_images,
                }
            )
            _keep(results)
        if len(runs["guide"]) < repeats:
            runs["guide"].append(_guide(case, given))
            _keep(results)
    if case.title not in results["limits"]:
        if paths is None:
            paths = pipeline.clone(scratch / case.name, settings)
            pipeline.run(paths, case)
        results["limits"][case.title] = pipeline.measure_limits(paths, case)
        _keep(results)


def _guide(case: inputs.Case, given: inputs.Inputs) -> dict[str, Any]:
    taken, said = measure_guide(case, given, head_epochs=pipeline.EPOCHS, epochs=pipeline.EPOCHS)
    return {
        "seconds": taken.seconds,
        "peak_mb": taken.peak_mb,
        "epoch_seconds": said["fine_tune_s"] / pipeline.EPOCHS,
        "accuracy": said["test_accuracy"],
        "test_images": said["test_images"],
    }


def _keep(results: dict[str, Any]) -> None:
    """Write the measurements and the page, so that an interrupted run leaves both as far as it came."""
    report.write(pages.keep_of_kind(RESULTS, results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=Path, default=Path("inputs"), help="folder with images, weights, opponent")
    parser.add_argument("--only", nargs="+", metavar="TITLE", help="cases such as 'xception float32'")
    parser.add_argument("--repeats", type=int, default=3, help="runs each way; the table shows medians")
    parser.add_argument("--growth", action="store_true", help="measure 1,000 to 25,000 images too")
    parser.add_argument("--again", action="store_true", help="forget the results of this kind of processor")
    parser.add_argument("--scratch", type=Path, help="where clones are made; 2 GB a run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
