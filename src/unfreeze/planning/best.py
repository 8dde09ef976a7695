"""Backbone, image size and epochs that fit into a number of minutes on this machine.

    python -m unfreeze.planning.best MINUTES

reads settings as YAML from its input and writes the three as JSON. `conf/hydra_plugins/best.py` calls it
where a preset asks for them, so that params.yaml holds values: training itself looks at no clock, and `dvc repro`
gives the same bits again.
"""

import json
import math
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from unfreeze import dvc_repo, files
from unfreeze.errors import UnfreezeError
from unfreeze.models.table import Row, find_row
from unfreeze.paths import Paths
from unfreeze.planning import machine, measurements, networks
from unfreeze.planning.forecast import Forecast, Past, forecast, measure_speed
from unfreeze.planning.jobs import OF_BACKBONE, Scale
from unfreeze.planning.machine import Room, Speed
from unfreeze.planning.networks import Network
from unfreeze.planning.plan import SPARE_GB, Study, convert_to_gb, describe
from unfreeze.planning.scale import find_extent
from unfreeze.planning.survey import make_wish, recall_runs
from unfreeze.runtime import console
from unfreeze.settings.sources import DataSource
from unfreeze.settings.training import Unfreeze

# The better for its time first. A package index serves the weights of the last one: it is there in a closed network.
BACKBONES = ("efficientnetv2b0", "xception")
# Where Keras downloads weights from.
KERAS_WEIGHTS = "https://storage.googleapis.com/tensorflow/keras-applications/"
SECONDS_TO_ANSWER = 5.0
# Sides that fill whole positions of backbones with a stride of 32.
SIZES = (320, 288, 256, 224, 192, 160, 128, 96)
# Largest image side, as a multiple of the side in pretraining; 1 for all other networks. Measured at 288 of 224
# pixels: docs/recipes.md.
LARGER = {"efficientnetv2b0": 1.3}
# A training learns from so many images before a larger size is worth more than a longer training: ten epochs of 1,600
# images. Beyond that it goes on only to ten epochs: twice as many gained on none of three sets (docs/recipes.md).
ENOUGH_IMAGES = 16_000
FEWEST_EPOCHS = 3
ENOUGH_EPOCHS = 10
# Forecasts of a machine that has not run a stage yet are off by a fifth or more.
KEPT_FREE = 0.2


@dataclass(frozen=True)
class Fit:
    """What fits.

    Args:
        backbones: What is trained.
        image_size: Side, pixels.
        epochs: Epochs of fine-tuning.
        minutes: What the study takes with them; None where nobody knows how many images there are.
    """

    backbones: tuple[str, ...]
    image_size: int
    epochs: int
    minutes: float | None


def choose(sizes: Sequence[int], rows: int, minutes: float, measure: Callable[[int, int], float]) -> tuple[int, int]:
    """Return the largest size at which a training of enough epochs fits, and as many epochs as fit and may gain.

    Args:
        sizes: Sides to choose from, the largest first.
        rows: Training images of an epoch, all views.
        minutes: What the study may take.
        measure: Returns the seconds of the study at a size and a number of epochs.

    Raises:
        UnfreezeError: Not even the fewest epochs fit at the smallest size.
    """
    enough = max(FEWEST_EPOCHS, math.ceil(ENOUGH_IMAGES / rows))
    most = max(enough, ENOUGH_EPOCHS)
    allowed = minutes * 60 * (1 - KEPT_FREE)
    for size in sizes:
        first = measure(size, 1)
        of_epoch = measure(size, 2) - first
        # Where all networks have epochs of their own in train.finetune, only the size is chosen.
        fitting = most if first <= allowed else 0
        if of_epoch > 0:
            fitting = min(most, math.floor((allowed - first) / of_epoch) + 1)
        if fitting >= enough:
            break
    if fitting < FEWEST_EPOCHS:
        least = math.ceil(measure(size, FEWEST_EPOCHS) / 60 / (1 - KEPT_FREE))
        too_much = (
            f"{FEWEST_EPOCHS} epochs at {size} pixels, the fewest that teach anything"
            if of_epoch > 0
            else f"the epochs that train.finetune gives the networks, at {size} pixels"
        )
        raise UnfreezeError(
            f"best.minutes={minutes:g} is too little for {too_much}: set best.minutes={least} or more, or "
            "-S study=quick"
        )
    return size, fitting


def list_sizes(rows: Sequence[Row]) -> list[int]:
    """Return the image sides to choose from, the largest first: those that suit all networks.

    A network without pretrained weights takes any size, and does not limit the others.

    Args:
        rows: The networks, at least one.

    >>> list_sizes([find_row("efficientnetv2b0"), find_row("from_scratch")])
    [288, 256, 224, 192, 160, 128, 96]
    """
    most = min(LARGER.get(row.name, 1) * row.native_size for row in _select_pretrained(rows))
    least = max(row.smallest_size for row in rows)
    patch = math.lcm(*(row.patch or 1 for row in rows))
    sides = {side // patch * patch for side in SIZES}
    return sorted((side for side in sides if least <= side <= most), reverse=True) or [_find_native_size(rows)]


def _find_native_size(rows: Sequence[Row]) -> int:
    """Return the smallest of the sides that the networks were pretrained on."""
    return min(row.native_size for row in _select_pretrained(rows))


def _select_pretrained(rows: Sequence[Row]) -> Sequence[Row]:
    """Return the networks that were pretrained; all where none was."""
    return [row for row in rows if row.origin != "scratch"] or rows


def choose_backbone(weights: Mapping[str, Any]) -> str:
    """Return the first of `BACKBONES` whose weights can be had here.

    Args:
        weights: The section of params.yaml.
    """
    for name in BACKBONES[:-1]:
        if weights.get(name, weights["default"]) != "imagenet" or _keras_answers():
            return name
        console.log.warning(
            "%s does not answer, so %s is trained and not %s. Weights that are at hand: "
            "-S '+weights.%s={file: PATH, sha256: DIGEST}'", KERAS_WEIGHTS, BACKBONES[-1], name, name,
        )  # fmt: skip
    return BACKBONES[-1]


def _keras_answers() -> bool:
    try:
        with urllib.request.urlopen(KERAS_WEIGHTS, timeout=SECONDS_TO_ANSWER):
            return True
    except urllib.error.HTTPError:
        # The folder itself is no file; that it was said shows that the host is reached.
        return True
    except OSError:
        return False


def fit(paths: Paths, settings: Mapping[str, Any], minutes: float) -> Fit:
    """Return backbone, image size and epochs of fine-tuning for a study that takes so many minutes here.

    All stages count, whether DVC has results of them or not: the same settings should give the same numbers.

    Args:
        paths: The checkout.
        settings: Sections of params.yaml; what is null is chosen, but for the epochs, which always are.
        minutes: What the study may take.
    """
    names = tuple(settings["study"]["backbones"] or [choose_backbone(settings["weights"])])
    settings = {**settings, "study": {**settings["study"], "backbones": names}}
    rows_of_table = [find_row(name) for name in names]
    given = settings["preprocess"]["image_size"]
    sizes = [given] if given else list_sizes(rows_of_table)
    known = [found for found in measurements.read(paths.measurements) if found.machine == machine.name_machine()]
    locked = dvc_repo.read_lock(paths)["stages"] if paths.dvc_lock.exists() else {}
    data = TypeAdapter(DataSource).validate_python(settings["data"])
    extent = find_extent(data, data.model_dump(mode="json"), locked.get("download"), known)
    if extent is None:
        # Ten epochs at the side of pretraining fit into an hour on two cores for as many images as most people bring.
        native = _find_native_size(rows_of_table)
        return Fit(names, next((size for size in sizes if size <= native), sizes[0]), 10, None)
    unfreeze = Unfreeze.model_validate(settings["unfreeze"])
    wishes = [make_wish(paths, name, size, unfreeze) for size in sizes for name in names]
    described = networks.describe_networks(paths, wishes)
    found = {(wanted.size, wanted.backbone): network for wanted, network in zip(wishes, described, strict=True)}
    pasts = recall_runs(paths, known)
    scale = Scale(
        images=extent[0], raw_mb=extent[1] / 1e6, backbones=len(names), seeds=len(settings["study"]["seeds"])
    )
    stages = tuple(files.read_yaml(paths.pipeline)["stages"])
    estimate = _Estimate(settings, scale, found, pasts, measure_speed(pasts) or machine.probe_speed(), stages)
    rows = round(extent[0] * settings["split"]["train"]) * settings["augment"]["views"]
    memory_gb = machine.measure_memory() - SPARE_GB
    fitting = [size for size in sizes if estimate.measure_memory(size) <= memory_gb]
    size, epochs = choose(fitting or sizes[-1:], max(rows, 1), minutes, estimate)
    return Fit(names, size, epochs, estimate(size, epochs) / 60)


@dataclass(frozen=True)
class _Estimate:
    """Returns the seconds of all stages of a study, and the memory of the largest."""

    settings: Mapping[str, Any]
    scale: Scale
    networks: Mapping[tuple[int, str], Network]
    pasts: Sequence[Past]
    speed: Speed
    stages: Sequence[str]

    def __call__(self, size: int, epochs: int) -> float:
        return sum(expected.seconds for expected in self._forecast(size, epochs))

    def measure_memory(self, size: int) -> float:
        """Return what the largest stage takes at an image size, GB of 10^9 bytes."""
        return convert_to_gb(max(expected.peak_mb for expected in self._forecast(size, 1)))

    def _forecast(self, size: int, epochs: int) -> Iterator[Forecast]:
        finetune = {
            name: {**phase, "epochs": epochs} if name == "default" else phase
            for name, phase in self.settings["train"]["finetune"].items()
        }
        settings = {
            **self.settings,
            "preprocess": {**self.settings["preprocess"], "image_size": size},
            "train": {**self.settings["train"], "finetune": finetune},
        }
        names = settings["study"]["backbones"]
        study = Study(settings, self.scale, {name: self.networks[size, name] for name in names})
        room = Room(math.inf, math.inf)
        for stage in self.stages:
            for name in names if stage in OF_BACKBONE else [None]:
                job = describe(stage, name, study, room)
                assert job is not None
                yield forecast(job, name, self.pasts, self.speed)


def main(minutes: str) -> dict[str, Any]:
    """Read settings, say what fits, and return it."""
    import yaml

    found = fit(Paths(Path.cwd()), yaml.safe_load(sys.stdin), float(minutes))
    what = f"{', '.join(found.backbones)}: {found.epochs} epochs at {found.image_size} pixels"
    if found.minutes is None:
        console.log.warning(
            "%s. How long that takes is unknown until the images are here: `dvc repro download`, then compose again",
            what,
        )
    else:
        console.log.info("%s fit into %s minutes here: about %.0f", what, minutes, found.minutes)
    return {"backbones": found.backbones, "image_size": found.image_size, "epochs": found.epochs}


if __name__ == "__main__":
    console.configure_logging()
    try:
        sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")
    except UnfreezeError as error:
        sys.exit(f"error: {error}")
