"""`study=best` against fastai's `fine_tune` given the same minutes, on two sets, into best.json and best.md.

    python -m benchmarks.best [--inputs FOLDER] [--python FILE] [--set NAME ...] [--seeds 0 1 2] [-S KEY=VALUE ...]

Each seed draws folds of its own. Both sides have the same folds, weights and image size. A run that is there with the
same settings of the same preset is not run again.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import elpv, measure, pages, pipeline
from benchmarks.inputs import Case
from benchmarks.peers import environment, opponents, ours
from benchmarks.peers.ours import Split
from unfreeze.evaluation import intervals
from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.settings.params import load

RESULTS = pages.FOLDER / "best.json"
PAGE = pages.FOLDER / "best.md"
# fastai's tutorials change images so; what a set has no top for is turned upside down on both sides.
CHANGES_OF: dict[str, dict[str, bool]] = {"solar cells": {"flip_vert": True}, "cats and dogs": {}}
SETTINGS_OF: dict[str, tuple[str, ...]] = {"solar cells": elpv.OF_CELLS, "cats and dogs": ()}
# Of the head alone, before all layers: what `fine_tune` does by itself.
HEAD_EPOCHS = ("--head-epochs", "1")


@dataclass(frozen=True)
class Bench:
    """Where both sides run.

    Args:
        python: The peers' Python.
        cases: Backbones and their weights, by name.
        given: Folder with weights that are at hand.
        scratch: Where clones are made.
    """

    python: Path
    cases: Mapping[str, Case]
    given: Path
    scratch: Path

    def run(self, name: str, seed: int, images: Path, overrides: list[str]) -> dict[str, Any]:
        """Run this project, then fastai in no more time.

        Args:
            name: The set, a key of `SETTINGS_OF`.
            seed: Seed of folds and trainings.
            images: Folder of the images.
            overrides: Settings besides those of the preset.

        Returns:
            What each side took and gave, and the difference of accuracies, paired by test image.
        """
        settings = [
            *pipeline.preset_settings(self.given), "data=folder", f"data.source={images}", f"seed={seed}",
            *SETTINGS_OF[name], *overrides,
        ]  # fmt: skip
        paths = pipeline.clone(self.scratch / "best", settings)
        (backbone,) = load(paths.params).study.backbones
        case = self.cases[backbone]
        taken = measure.run(["dvc", "repro", f"evaluate@{backbone}"], folder=paths.root)
        split = ours.write_split(paths, self.scratch / f"{paths.root.name}.csv")
        right = np.array(split.sort_correct(ours.read_correct(paths, case)))
        mine = describe_run(paths, backbone, taken) | score(right, split, seed)
        console.log.info("%s, seed %d: %s", name, seed, mine)
        theirs, their_right = self._run_fastai(name, seed, case, images, split, mine)
        difference = intervals.estimate_difference(np.array(split.labels), right, their_right, seed=seed)
        return {
            "set": name,
            "seed": seed,
            "test_images": len(right),
            "ours": mine,
            "fastai": theirs | score(their_right, split, seed),
            "difference": difference.to_json(),
        }

    def _run_fastai(
        self, name: str, seed: int, case: Case, images: Path, split: Split, mine: Mapping[str, Any]
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Run as many epochs as fit; a run of one epoch tells how long each takes."""
        ported = self.scratch / "ported"
        opponents.port(self.python, case, ported)
        run = partial(opponents.run, self.python, "fastai", case, images=images, split=split, ported=ported)
        others = [
            *HEAD_EPOCHS, "--size", str(mine["image_size"]), "--seed", str(seed), "--changes",
            json.dumps(CHANGES_OF[name]),
        ]  # fmt: skip
        short, said = run(epochs=1, others=others)
        epochs = count_epochs(60 * mine["minutes"], short.seconds, said["epoch_seconds"])
        taken, said = run(epochs=epochs, others=others)
        return {"epochs": epochs, "minutes": taken.seconds / 60}, np.array(split.sort_correct(said["correct"]))


def describe_run(paths: Paths, backbone: str, taken: measure.Run) -> dict[str, Any]:
    """Return what the preset chose, and what it took."""
    params = load(paths.params)
    return {
        "backbone": backbone,
        "image_size": params.preprocess.image_size,
        "epochs": params.train.finetune.get(backbone).epochs,
        "minutes": taken.seconds / 60,
        "peak_mb": taken.peak_mb,
        "commit": pipeline.name_commit(),
    }


def count_epochs(seconds: float, short_seconds: float, epoch_seconds: float) -> int:
    """Return how many epochs fit into a time, at least one.

    Args:
        seconds: The time.
        short_seconds: What a run of one epoch takes, with every process start.
        epoch_seconds: What one epoch takes.

    >>> count_epochs(600, 100, 60), count_epochs(60, 100, 60)
    (9, 1)
    """
    return max(1, 1 + math.floor((seconds - short_seconds) / epoch_seconds))


def score(right: np.ndarray, split: Split, seed: int) -> dict[str, Any]:
    """Return the accuracy on the test images."""
    return {"accuracy": intervals.estimate_accuracy(right, np.array(split.labels), seed=seed).to_json()}


def lay_out_cells(scratch: Path) -> Path:
    """Make a folder of the solar cells with a table of labels."""
    return elpv.lay_out("default", 0, elpv.bring_cells(scratch / "cells"), scratch / "cells", scratch)


def main() -> None:
    """Run what is asked for and write the page."""
    options = _options()
    python = options.python or environment.make()
    begin = partial(pages.begin_of_kind, RESULTS, again=options.again)
    with pages.session(begin, options.inputs, options.scratch) as (given, results, scratch):
        results["peers"] = environment.find_versions(python)
        runs = results.setdefault("runs", {})
        bench = Bench(
            python, {case.name: replace(case, point="all") for case in given.pretrained}, options.inputs, scratch
        )
        sets = {"solar cells": lay_out_cells(scratch), "cats and dogs": given.images}
        for name in options.set:
            for seed in options.seeds:
                title = f"{name}, seed {seed}"
                if not elpv.is_current(runs.get(title), options.overrides):
                    what = {"settings": options.overrides, "preset": elpv.digest_preset()}
                    runs[title] = bench.run(name, seed, sets[name], options.overrides) | what
                    write_page(pages.keep_of_kind(RESULTS, results))


def write_page(kinds: list[dict[str, Any]]) -> None:
    """Write the page from what was run so far, on all kinds of processors."""
    shown = []
    for kind in kinds:
        # JSON has them by name.
        runs = sorted(kind["runs"].values(), key=lambda run: (list(SETTINGS_OF).index(run["set"]), run["seed"]))
        shown.append(kind | {"runs": runs, "means": list_means(runs)})
    pages.write("best.md.j2", PAGE, {"kinds": shown})


def list_means(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each set the means over seeds, with half of their 95 % intervals where there are two and more."""
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        found.setdefault(run["set"], []).append(run)
    return [
        {
            "set": name,
            "seeds": len(of_set),
            **{
                side: pages.average([run[side]["accuracy"]["value"] for run in of_set]) for side in ("ours", "fastai")
            },
            "difference": pages.average([run["difference"]["value"] for run in of_set]),
        }
        for name, of_set in found.items()
    ]


def _options() -> argparse.Namespace:
    parser = elpv.make_parser("python -m benchmarks.best", __doc__)
    parser.add_argument("--python", type=Path, help="of an environment that has the peers; made by default, 5 GB")
    parser.add_argument("--set", nargs="+", choices=SETTINGS_OF, default=list(SETTINGS_OF))
    parser.add_argument("--again", action="store_true", help="forget the results of this kind of processor")
    return parser.parse_args()


if __name__ == "__main__":
    main()
