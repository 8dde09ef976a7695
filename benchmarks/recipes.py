"""What each setting of `study=best` is worth, on the validation folds of two sets, into recipes.json and recipes.md.

    python -m benchmarks.recipes [--inputs FOLDER] [--only TITLE ...] [--seeds 0 1]

Each change of the preset is trained as the preset is, with the same seeds, and compared image by image. What is there
is not measured again; the preset itself is, once a session, since only differences are kept.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import elpv, inputs, measure, pages, pipeline
from benchmarks.inputs import Case
from unfreeze import files
from unfreeze.evaluation import intervals, resampling
from unfreeze.paths import Paths
from unfreeze.runtime import console

RESULTS = pages.FOLDER / "recipes.json"
PAGE = pages.FOLDER / "recipes.md"
BACKBONE = "efficientnetv2b0"
OTHER = "xception"
# Smaller than what the preset chooses: a change is measured in minutes, and twenty of them in hours.
SIZE = 128
# Of each set; the images that are learnt from are about as many.
EPOCHS = {"solar cells": 8, "cats and dogs": 5}
PHASE = "train.finetune.default"


@dataclass(frozen=True)
class Change:
    """What is done otherwise than by the preset.

    Args:
        settings: As `-S` takes them.
        backbone: What is trained.
        epochs: Share of the preset's epochs.
        joined: Whether its probabilities are averaged with those of the preset.
    """

    settings: tuple[str, ...] = ()
    backbone: str = BACKBONE
    epochs: float = 1
    joined: bool = False


PRESET = Change()
CHANGES = {
    "the top block alone is trained": Change(("unfreeze.point.default={blocks: 1}",)),
    "the same images in each epoch": Change(("augment.every_epoch=false",)),
    "constant rate": Change((f"{PHASE}.schedule=constant",)),
    "rate 2e-4": Change((f"{PHASE}.learning_rate=2e-4",)),
    "rate 5e-5": Change((f"{PHASE}.learning_rate=5e-5",)),
    "half as many epochs": Change(epochs=0.5),
    "the last epoch's weights": Change((f"{PHASE}.patience=null",)),
    "warm-up in the first tenth": Change((f"{PHASE}.warmup=0.1",)),
    "label smoothing 0.1": Change((f"{PHASE}.label_smoothing=0.1",)),
    "MixUp 0.2": Change((f"{PHASE}.mixup=0.2",)),
    "weight decay 0.05": Change((f"{PHASE}.weight_decay=0.05",)),
    "rates that fall by 0.8 a block": Change((f"{PHASE}.layer_decay=0.8",)),
    "twice as many epochs": Change(epochs=2),
    "160 pixels": Change(("preprocess.image_size=160",)),
    # As long as the one before.
    "224 pixels and half as many epochs": Change(("preprocess.image_size=224",), epochs=0.5),
    "Xception": Change(backbone=OTHER),
    "mean of both backbones": Change(backbone=OTHER, joined=True),
}


@dataclass(frozen=True)
class Trained:
    """What trainings with several seeds say of the same validation images.

    Args:
        labels: Class numbers, shape (images,).
        probabilities: Shape (seeds, images, classes).
        best_epochs: Of each seed, from 1.
        seconds: Of fine-tuning, the mean over seeds.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    best_epochs: list[int]
    seconds: float

    @property
    def losses(self) -> np.ndarray:
        """Log-loss of each image, the mean over seeds, shape (images,)."""
        of_label = self.probabilities[:, np.arange(len(self.labels)), self.labels]
        return np.asarray(-np.log(np.clip(of_label, np.finfo(np.float32).tiny, 1)).mean(axis=0))

    @property
    def right(self) -> np.ndarray:
        """Share of the seeds that are right on each image, shape (images,)."""
        return np.asarray((self.probabilities.argmax(axis=-1) == self.labels).mean(axis=0))

    def join(self, other: "Trained") -> "Trained":
        """Return the mean of both probabilities, seed by seed; it takes the time of both."""
        mean = (self.probabilities + other.probabilities) / 2
        return Trained(self.labels, mean, other.best_epochs, self.seconds + other.seconds)


def compare(preset: Trained, changed: Trained) -> dict[str, Any]:
    """Return the differences to the preset, paired by image, with 95 % intervals over images.

    Args:
        preset: As the preset is.
        changed: With a change; of the same images and seeds.
    """
    rng = np.random.default_rng(0)
    weights = resampling.resample_weights(preset.labels, rng, intervals.RESAMPLES)
    gaps = {"loss": changed.losses - preset.losses, "accuracy": changed.right - preset.right}
    return {
        "loss": float(changed.losses.mean()),
        "accuracy": float(changed.right.mean()),
        "best_epochs": changed.best_epochs,
        "cost": changed.seconds / preset.seconds,
        "differences": {
            name: intervals.take_percentiles(gap.mean(), weights @ gap / len(gap), -np.inf, np.inf).to_json()
            for name, gap in gaps.items()
        },
    }


@dataclass
class Bench:
    """A set of images and what was trained on it, in one clone a backbone.

    Args:
        name: A key of `EPOCHS`.
        images: Folder with one folder a class; None for the default study's images.
        cases: Backbones with weights that are at hand, by name.
        scratch: Where clones are made.
        seeds: Of the trainings.
    """

    name: str
    images: Path | None
    cases: Mapping[str, Case]
    scratch: Path
    seeds: Sequence[int]
    clones: dict[str, Paths] = field(default_factory=dict)
    trained: dict[Change, Trained] = field(default_factory=dict)

    def measure(self, change: Change) -> dict[str, Any]:
        """Train the preset and a change of it, unless that was done before, and compare them."""
        preset = self.train(PRESET)
        changed = self.train(replace(change, joined=False))
        return compare(preset, preset.join(changed) if change.joined else changed)

    def train(self, change: Change) -> Trained:
        """Train with every seed, unless that was done before."""
        if change not in self.trained:
            self.trained[change] = self._run(change)
        return self.trained[change]

    def _run(self, change: Change) -> Trained:
        settings = self._list_settings(change)
        if change.backbone in self.clones:
            pipeline.compose(self.clones[change.backbone], settings)
        else:
            self.clones[change.backbone] = pipeline.clone(self.scratch / change.backbone, settings)
        paths = self.clones[change.backbone]
        measure.run(["dvc", "repro", f"extract@{change.backbone}"], folder=paths.root)
        command = [sys.executable, "-m", "benchmarks.recipe_training", str(paths.root), change.backbone]
        found = measure.read_result(measure.run([*command, *map(str, self.seeds)], folder=inputs.ROOT))
        return Trained(
            np.array(found["labels"]),
            np.array([run["probabilities"] for run in found["runs"]]),
            [run["best_epoch"] for run in found["runs"]],
            float(np.mean([run["seconds"] for run in found["runs"]])),
        )

    def _list_settings(self, change: Change) -> list[str]:
        source = ["data=folder", f"data.source={self.images}"] if self.images else []
        return [
            "study=best",
            *source,
            *pipeline.weights_settings(self.cases[change.backbone]),
            f"study.backbones=[{change.backbone}]",
            f"preprocess.image_size={SIZE}",
            f"{PHASE}.epochs={max(round(change.epochs * EPOCHS[self.name]), 1)}",
            *change.settings,
        ]


def main() -> None:
    """Measure the changes that are asked for."""
    options = _options()
    begin = partial(pages.begin_of_kind, RESULTS, again=options.again)
    with pages.session(begin, options.inputs, options.scratch) as (given, results, scratch):
        cases = {case.name: case for case in given.pretrained}
        sets = {"solar cells": None, "cats and dogs": given.images}
        benches = [Bench(name, images, cases, scratch, options.seeds) for name, images in sets.items()]
        for title in options.only or CHANGES:
            for bench in benches:
                rows = results.setdefault("sets", {}).setdefault(bench.name, {})
                what = {"seeds": options.seeds, "preset": digest_recipe(title)}
                if {name: rows.get(title, {}).get(name) for name in what} != what:
                    rows[title] = bench.measure(CHANGES[title]) | what
                    console.log.info("%s, %s: %s", bench.name, title, rows[title]["differences"])
                    write_page(pages.keep_of_kind(RESULTS, results))


def digest_recipe(title: str) -> str:
    """Return a digest of the preset and of a change of it."""
    return files.digest([files.read_yaml(elpv.PRESET), SIZE, EPOCHS, asdict(CHANGES[title])])


def write_page(kinds: Sequence[dict[str, Any]]) -> None:
    """Write the page from what was measured so far, on all kinds of processors."""
    pages.write(
        "recipes.md.j2",
        PAGE,
        {"kinds": kinds, "titles": list(CHANGES), "size": SIZE, "epochs": EPOCHS, "backbone": BACKBONE},
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=Path, default=Path("inputs"), help="folder with images and weights")
    parser.add_argument("--scratch", type=Path, help="folder for clones")
    parser.add_argument("--only", nargs="+", choices=CHANGES, metavar="TITLE", help="changes to measure")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--again", action="store_true", help="forget the results of this kind of processor")
    return parser.parse_args()


if __name__ == "__main__":
    main()
