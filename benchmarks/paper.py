"""Rerun the course report's study, with each network's own scaling and with 1/255 for all, into docs/paper.md.

    python -m benchmarks.paper [--inputs FOLDER] [--download] [--only PART ...]

Parts are named as `PARTS` has them. One that is there is not run again.
"""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from statsmodels.stats.proportion import confint_proportions_2indep

from benchmarks import inputs, measure, pages, pipeline
from benchmarks.inputs import Case
from unfreeze import files
from unfreeze.evaluation import intervals
from unfreeze.paths import Paths
from unfreeze.records.predictions import Predictions

RESULTS = Path(__file__).parent / "paper.json"
PAGE = inputs.ROOT / "docs/paper.md"
PICTURES = inputs.ROOT / "docs/paper"

# Half the time where the processor multiplies it; accuracies differ by less than their intervals.
PRECISION = "bfloat16"
# The report's table 11: test accuracy on 800 images.
REPORTED = {
    "efficientnetb0": 0.49375,
    "inceptionv3": 0.885,
    "inceptionresnetv2": 0.96375,
    "resnet50": 0.62375,
    "vgg16": 0.93375,
    "xception": 0.95875,
}
REPORTED_IMAGES = 800
# What the report did not run gets the recipe of what comes closest to it: EfficientNetV2B0 that of EfficientNetB0,
# whose layer 160 lies in the third of its fifth blocks; MobileNetV2 that of Xception, from its last block.
STAND_INS = (
    "+unfreeze.point.efficientnetv2b0=block5c_expand_conv",
    "+head.layers.efficientnetv2b0=[batch_normalization,flatten,{dense: 512},{dropout: 0.5},{dense: 256}]",
    "+train.finetune.efficientnetv2b0={optimizer: adagrad}",
    "+unfreeze.point.mobilenetv2=block_16_expand",
    "+head.layers.mobilenetv2=[global_average_pooling]",
)
# The runs shown here leave out what repeats the same on other seeds and spoilt images.
SHORTER = ("study.seeds=[]", "evaluate.corruption_images=0")
PARTS = {
    "paper native": ("study=paper", "pixels=native", *STAND_INS),
    "paper unit": ("study=paper", "pixels=unit", *STAND_INS),
    "six native": ("study=six", "pixels=native"),
}


def main() -> None:
    """Run the parts that are asked for."""
    options = _options()
    with pages.session(partial(pages.begun, RESULTS), options.inputs, options.scratch) as (given, results, scratch):
        cases = [replace(case, precision=PRECISION) for case in given.pretrained]
        if options.download:
            known = {case.name for case in cases}
            cases += [Case(name, "", "auto", None, PRECISION, 0) for name in REPORTED if name not in known]
        for title in PARTS:
            if any(title.startswith(only) for only in options.only) and title not in results:
                results[title] = study(title, cases, given.images, scratch)
                files.write_json(RESULTS, results)
                write_page(results)


def study(title: str, cases: Sequence[Case], images: Path, scratch: Path) -> dict[str, Any]:
    """Run one study in a new clone and return what the page needs of it.

    Args:
        title: A key of `PARTS`.
        cases: The backbones; those without weights are downloaded by Keras.
        images: Folder with one folder a class.
        scratch: Where the clone is made.
    """
    paths = pipeline.clone(scratch / title.replace(" ", "_"), _settings(title, cases, images))
    measure.run(["dvc", "repro"], folder=paths.root)
    verdict = files.read_json(paths.verdict)
    names = [row["backbone"] for row in verdict["rows"]]
    said = {name: Predictions.read(paths.predictions(name)) for name in names}
    _keep_pictures(title, paths, names)
    kept = (
        "backbone",
        "weights",
        "unfreeze_from",
        "learning_rate",
        "scores",
        "classes",
        "averages",
        "confusion",
        "cost",
    )
    return {
        "rows": [{name: row[name] for name in kept} for row in verdict["rows"]],
        "pairs": verdict["pairs"],
        "smallest_difference": verdict["smallest_difference"],
        "verdict": verdict["verdict"],
        "findings": verdict["findings"],
        "classes": verdict["classes"],
        "labels": said[names[0]].labels.tolist(),
        "right": {name: (one.predicted == one.labels).astype(int).tolist() for name, one in said.items()},
    }


def write_page(results: dict[str, Any]) -> None:
    """Write docs/paper.md from what was run so far."""
    pages.write("paper.md.j2", PAGE, summary(results))


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows: the studies, what wrong pixels cost, and the best against the report's."""
    studies = {title: results[title] for title in PARTS if title in results}
    native, unit = (studies.get(f"paper {pixels}") for pixels in ("native", "unit"))
    best = max(
        ((title, row) for title, one in studies.items() for row in one["rows"]),
        key=lambda pair: pair[1]["scores"]["accuracy"]["value"],
        default=None,
    )
    return {
        "machine": results["machine"],
        "images": results["images"],
        "studies": studies,
        "precision": PRECISION,
        "reported": REPORTED,
        "missing": [name for name in REPORTED if not any(name in one["right"] for one in studies.values())],
        "costs": _costs_of_unit(native, unit) if native and unit else [],
        "best": best,
        "against_report": _against_report(best[1]["scores"]["accuracy"]["value"], studies[best[0]]) if best else None,
    }


def _costs_of_unit(native: dict[str, Any], unit: dict[str, Any]) -> list[dict[str, Any]]:
    """Return by backbone what feeding 1/255 costs, paired by image."""
    labels = np.array(native["labels"])
    found = []
    for row in native["rows"]:
        name = row["backbone"]
        first, second = (np.array(which["right"][name], bool) for which in (native, unit))
        other = next(row for row in unit["rows"] if row["backbone"] == name)
        found.append(
            {
                "backbone": name,
                "native": row["scores"]["accuracy"],
                "unit": other["scores"]["accuracy"],
                "difference": intervals.estimate_difference(labels, first, second, seed=0).model_dump(),
            }
        )
    return found


def _against_report(accuracy: float, one: dict[str, Any]) -> dict[str, float]:
    """Return how far an accuracy is above the report's best; its images are others, so both are independent."""
    images, reported = len(one["labels"]), max(REPORTED.values())
    low, high = confint_proportions_2indep(
        round(accuracy * images), images, round(reported * REPORTED_IMAGES), REPORTED_IMAGES, method="newcomb"
    )
    return {"reported": reported, "value": accuracy - reported, "low": float(low), "high": float(high)}


def _settings(title: str, cases: Sequence[Case], images: Path) -> list[str]:
    names = [case.name for case in cases]
    baseline = ["from_scratch"] if title.startswith("six") else []
    settings = ["data=folder", f"data.source={images}", *PARTS[title], *SHORTER]
    settings += [f"study.backbones=[{','.join([*names, *baseline])}]", f"preprocess.image_size={pipeline.SIZE}"]
    settings += [f"extract.precision={PRECISION}", f"train.precision={PRECISION}"]
    for case in cases:
        if case.weights is not None:
            settings += pipeline.weights_settings(case)
    return settings


def _keep_pictures(title: str, paths: Paths, names: Sequence[str]) -> None:
    """Copy the counterparts of the report's figures: curves and confusion matrix of each, and the curves of all."""
    PICTURES.mkdir(exist_ok=True)
    prefix = title.replace(" ", "_")
    shutil.copy(paths.study_chart("training"), PICTURES / f"{prefix}_all.png")
    for name in names:
        shutil.copy(paths.backbone_chart(name, "history"), PICTURES / f"{prefix}_{name}_history.png")
        shutil.copy(paths.backbone_chart(name, "confusion"), PICTURES / f"{prefix}_{name}_confusion.png")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=Path, default=Path("inputs"), help="folder with images and weights")
    parser.add_argument("--download", action="store_true", help="also run what Keras has to download weights for")
    parser.add_argument("--only", nargs="+", default=[""], metavar="PART", help="what to run: beginnings of names")
    parser.add_argument("--scratch", type=Path, help="where clones are made; several GB")
    return parser.parse_args()


if __name__ == "__main__":
    main()
