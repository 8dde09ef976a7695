"""What the stages after `split` read, for any number of images without pixels and training.

A small study of noise is run up to its scores. Its models, records and curves stand for those of each backbone of the
large study; all that has a row per image is generated, the manifest from the rows of the small one.
"""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.checks import gate
from unfreeze.evaluation import scores
from unfreeze.features import cache, extraction
from unfreeze.features.plan import Settings as CacheSettings
from unfreeze.images import store
from unfreeze.paths import Paths
from unfreeze.records.test_scores import Evaluation
from unfreeze.settings.params import load
from unfreeze.settings.stage_settings import select
from unfreeze.stages import evaluate, extract, preprocess

# The backbone of the small study, in the place of EfficientNetB0 in the study of six backbones and a baseline.
FIRST = "mobilenetv2"
BACKBONES = (FIRST, "inceptionv3", "inceptionresnetv2", "resnet50", "vgg16", "xception", "from_scratch")
STAGES = (f"learning_curve {FIRST}", "suspects", "verdict", "corrections", "figures", "report")
# What the small study leaves for the later stages.
COPIED = ("models", "plots", "metrics", "data/mistakes")
# Numbers of an image's activations.
WIDTH = 32
BLOCK = 10_000


def generate(small: Paths, paths: Paths, width: int = WIDTH) -> None:
    """Write what the stages after `split` read.

    Args:
        small: A study of `FIRST` that has its scores.
        paths: The large study, with its images and their index.
        width: Numbers of an image's activations.
    """
    copy_records(small, paths)
    write_manifest(small, paths)
    write_store(paths)
    write_features(paths, width)
    for number, backbone in enumerate(BACKBONES):
        write_predictions(paths, backbone, np.random.default_rng(number))


def copy_records(small: Paths, paths: Paths) -> None:
    """Give each backbone the models, records and curves of the small study, and the study its checks."""
    for path in (path for folder in COPIED for path in sorted((small.root / folder).rglob("*")) if path.is_file()):
        name = path.relative_to(small.root).as_posix()
        for backbone in BACKBONES if FIRST in name else ():
            target = paths.root / name.replace(FIRST, backbone)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".json":
                files.write_text(target, path.read_text().replace(FIRST, backbone))
            else:
                shutil.copy(path, target)
    for suite in gate.SUITES:
        if small.checks(suite).exists():
            shutil.copy(small.checks(suite), paths.checks(suite))
    for backbone in BACKBONES:
        # As of a backbone without stored activations; the first one's curve is measured.
        files.write_json(paths.learning_curve(backbone), None)


def write_manifest(small: Paths, paths: Paths) -> None:
    """Write the rows of the small manifest again and again under other digests, and folds of 60, 20 and 20 %."""
    index, known = files.read_csv(paths.raw_index), pd.read_parquet(small.manifest)
    numbers, random = np.arange(len(index)), np.random.default_rng(0)
    digests = [random.bytes(32).hex() for _ in numbers]
    rows = known.iloc[numbers % len(known)].assign(
        path=index["path"].to_numpy(), label=index["label"].to_numpy(), sha256=digests,
        pixels_sha256=[digest[::-1] for digest in digests],
        perceptual_hash=[digest[:16] for digest in digests],
        brightness=random.normal(120, 20, len(index)),
        # One image of a hundred has a near copy.
        cluster=numbers - (numbers % 100 == 1),
    )  # fmt: skip
    files.write_parquet(paths.manifest, rows.sort_values("path", ignore_index=True))
    # By tens, so that each fold has each class.
    folds = np.array(["train", "train", "train", "val", "test"])[numbers // 10 % 5]
    split = pd.DataFrame({"id": index["path"], "fold": folds})
    files.write_csv(paths.split, split.sort_values("id", ignore_index=True))


def write_store(paths: Paths) -> None:
    """Write an image store of one pixel an image."""
    rows = preprocess.read_usable(paths)
    counts = (min(BLOCK, len(rows) - start) for start in range(0, len(rows), BLOCK))
    store.write(
        paths.images, paths.raw, rows["path"].tolist(), rows["label"].tolist(), size=1, max_pixels=1,
        manifest_sha256=files.hash_file(paths.manifest),
        pixels=(np.zeros((count, 1, 1, 3), np.uint8) for count in counts),
    )  # fmt: skip


def write_features(paths: Paths, width: int) -> None:
    """Write activations of the first backbone: of each class around a place of its own."""
    settings = select(load(paths.params), extract.Settings)
    images, folds = store.describe(paths.images), files.read_csv(paths.split)
    train, val = (images.find_rows(folds, fold) for fold in cache.FOLDS)
    pixels = extraction.plan_pixels(
        images, train, val,
        CacheSettings(seed=settings.seed, augment=settings.augment, extract=settings.extract),
        {"images": images.digest, "pixels": settings.pixels},
    )  # fmt: skip
    plan = replace(pixels, position=1, row_shape=(1, 1, width), dtype=settings.extract.dtype)
    random = np.random.default_rng(0)
    # So near that a few labels in a hundred look wrong.
    centres = random.normal(scale=0.7, size=(plan.classes, width))
    labels = np.concatenate([plan.train.labels, plan.val.labels])
    with cache.open_writer(paths.features(FIRST), plan) as writer:
        for start in range(0, len(labels), BLOCK):
            vectors = centres[labels[start : start + BLOCK]]
            writer.append((vectors + random.normal(size=vectors.shape))[:, None, None])


def write_predictions(paths: Paths, backbone: str, random: np.random.Generator) -> None:
    """Write what `evaluate` says of the test fold, with wrong answers at random."""
    images = store.describe(paths.images)
    rows = images.find_rows(files.read_csv(paths.split), "test")
    labels = images.labels[rows]
    logits = random.normal(size=(len(rows), len(images.classes)))
    logits[np.arange(len(rows)), labels] += 3
    powers = np.exp(logits)
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    ids = [images.ids[row] for row in rows]
    table = evaluate.tabulate_predictions(ids, labels, probabilities, images.classes)
    files.write_csv(paths.predictions(backbone), table)
    evaluate.write_curves(paths, backbone, labels, probabilities, images.classes)
    of_small = Evaluation.read(paths.evaluation(backbone))
    of_small.model_copy(
        update={
            **dict(scores.score(labels, probabilities, images.classes)),
            "majority": float(pd.Series(labels).value_counts(normalize=True).iloc[0]),
            "calibration": evaluate.measure_calibration(labels, probabilities, 1.0),
        }
    ).write(paths.evaluation(backbone))
