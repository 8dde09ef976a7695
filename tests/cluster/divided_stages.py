"""A small study, with the real works of all stages that can be divided."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tests.conftest import compose, draw
from tests.serving.packed import build_model, pack_small
from unfreeze import files
from unfreeze.cluster.local import Local
from unfreeze.cluster.shards import Work
from unfreeze.cluster.storage import Storage
from unfreeze.images import store
from unfreeze.images.originals import Originals
from unfreeze.paths import Paths
from unfreeze.serving import run
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.divided import DividedInputs
from unfreeze.settings.params import Params
from unfreeze.settings.stage_settings import select
from unfreeze.stages import check, evaluate, extract, preprocess, pretrained

BACKBONE = "mobilenetv2"
ROWS = 12


def prepare(folder: Path) -> tuple[Paths, Params]:
    """Write what the stages read: images that stay in their folder, and a store of them in shard files."""
    paths, photos = Paths(folder), folder / "photos"
    params = compose(
        paths.params, f"study.backbones=[{BACKBONE}]", f"+weights.{BACKBONE}=random", "preprocess.image_size=32",
        "search.enabled.default=false", "unfreeze.point.default=block_2_expand", "evaluate.corruption_images=0",
    )  # fmt: skip
    for stage in ("check", "preprocess", "extract", "evaluate"):
        files.write_text(paths.code / f"{stage}.txt", "the code")
    names = [f"{number:02}.png" for number in range(2 * ROWS)]
    photos.mkdir()
    for number, name in enumerate(names):
        draw(((170, 80, 80), (80, 80, 170))[number % 2], number).save(photos / name)
    index = pd.DataFrame({"path": names, "label": ["red", "blue"] * ROWS})
    index["bytes"] = [(photos / name).stat().st_size for name in names]
    index["sha256"] = [files.hash_file(photos / name) for name in names]
    # The first half is looked at and decoded, all of it is in the store.
    files.write_csv(paths.raw_index, index[:ROWS])
    files.write_parquet(paths.manifest, index[:ROWS].assign(verdict="ok"))
    files.write_json(paths.in_place, {"root": str(photos)})
    blocks = store.decode_blocks(Originals.open(paths, index), names, 32, 10**6)
    store.write(
        paths.images, photos, names, index["label"].tolist(), size=32, max_pixels=10**6, manifest_sha256="",
        pixels=blocks, max_file_bytes=20_000,
    )  # fmt: skip
    folds = ["train"] * 8 + ["val"] * 4 + ["test"] * ROWS
    files.write_csv(paths.split, pd.DataFrame({"id": names, "fold": folds}))
    pretrained.run(select(params, pretrained.Settings), paths, BACKBONE)
    build_model(classes=2).save(paths.model(BACKBONE))
    pack_small(paths.root / "packed")
    return paths, params


def list_works(paths: Paths, params: Params) -> dict[str, Work]:
    """Return the work of each stage: 12 rows."""
    inputs = list(run.open_inputs([str(paths.root / "photos")], paths.root, io.BytesIO()))[:ROWS]
    catch = _Catch(params.cluster, Storage(str(paths.root / "listed")))
    divided = DividedInputs(Classifier(paths.root / "packed/packed/from_scratch"), catch, catch.storage, inputs)
    list(divided.predict(enumerate(inputs)))
    (extracting,) = extract.list_works(select(params, extract.Settings), paths, BACKBONE)
    scoring, *_ = evaluate.list_scorings(select(params, evaluate.Settings), paths, BACKBONE, "openvino")
    works = {
        "check": check.list_works(select(params, check.Settings), paths)[0],
        "preprocess": preprocess.list_works(select(params, preprocess.Settings), paths)[0],
        "extract": extracting,
        "evaluate": scoring.describe_work(),
        "predict": catch.works[0],
    }
    return {stage: replace(work, loaded=None) for stage, work in works.items()}


class _Catch(Local):
    """One machine, which keeps the works that it was asked for."""

    def __init__(self, settings: object, storage: Storage) -> None:
        super().__init__(settings, storage)  # type: ignore[arg-type]
        self.storage, self.works = storage, list[Work]()

    def iterate_rows(self, work: Work, done: int = 0) -> Iterator[np.ndarray]:
        self.works.append(work)
        return super().iterate_rows(work, done)
