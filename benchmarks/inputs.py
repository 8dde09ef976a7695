"""What is measured: images with one folder a class, and weights, from a folder given or from the default study."""

import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from unfreeze import files
from unfreeze.paths import Paths

ROOT = Path(__file__).parents[1]
ARCHIVE = "data/cats_vs_dogs_4000.zip"


@dataclass(frozen=True)
class Case:
    """A backbone to run both ways.

    Args:
        name: Its name here.
        builder: Its name in keras.applications.
        point: First layer that is fine-tuned.
        weights: Weights file, or None for random weights.
        precision: Arithmetic of this pipeline; the guide's is float32.
        floor: The ratio it must reach.
    """

    name: str
    builder: str
    point: str
    weights: Path | None
    precision: str
    floor: float

    @property
    def title(self) -> str:
        """A name that tells cases apart."""
        return f"{self.name} {self.precision}"


@dataclass(frozen=True)
class Inputs:
    """Images, the opponent, and the cases.

    Args:
        name: The images' name.
        images: Folder with one folder a class.
        guide: The opponent's script.
        cases: What is run.
        pretrained: Backbones whose ImageNet weights are at hand, each at its default point, the smallest last.
    """

    name: str
    images: Path
    guide: Path
    cases: list[Case]
    pretrained: list[Case]


def find(given: Path, scratch: Path) -> Inputs:
    """Return the inputs in a folder given, or the default study's if it is not there.

    Args:
        given: Holds `data/cats_vs_dogs_4000.zip`, `weights` and `bench/keras_guide.py`.
        scratch: Where images are laid out.
    """
    paths = Paths(ROOT)
    xception = paths.weights("xception")
    images = find_images(given, scratch)
    subprocess.run(["dvc", "repro", "pretrained@xception"], cwd=ROOT, check=True)
    if not (given / ARCHIVE).exists():
        cases = [
            Case("xception", "Xception", "block14_sepconv1", xception, precision, floor)
            for precision, floor in (("float32", 6), ("bfloat16", 10))
        ]
        return Inputs(
            "elpv",
            images,
            ROOT / "benchmarks/guide.py",
            cases,
            [Case("xception", "Xception", "auto", xception, "float32", 0)],
        )
    mobilenet = given / "weights/mobilenet_v2_no_top.weights.h5"
    cases = [
        Case("xception", "Xception", "block14_sepconv1", xception, "float32", 6),
        Case("xception", "Xception", "block14_sepconv1", xception, "bfloat16", 10),
        Case("resnet50", "ResNet50", "conv5_block1_1_conv", None, "float32", 3.5),
        Case("resnet50", "ResNet50", "conv5_block1_1_conv", None, "bfloat16", 6),
        Case("mobilenetv2", "MobileNetV2", "block_16_expand", mobilenet, "float32", 3),
    ]
    others = {
        "vgg16": ("VGG16", "vgg16_no_top.weights.h5"),
        "efficientnetv2b0": ("EfficientNetV2B0", "efficientnetv2b0_no_top.weights.h5"),
        "mobilenetv2": ("MobileNetV2", "mobilenet_v2_no_top.weights.h5"),
    }
    pretrained = [Case("xception", "Xception", "auto", xception, "float32", 0)] + [
        Case(name, builder, "auto", given / "weights" / file, "float32", 0)
        for name, (builder, file) in others.items()
    ]
    return Inputs("4,000 cats and dogs", images, given / "bench/keras_guide.py", cases, pretrained)


def find_images(given: Path, scratch: Path) -> Path:
    """Return the folder of the images that are given, or of the default study's, with one folder a class.

    Args:
        given: As `find` takes it.
        scratch: Where images are laid out.
    """
    if not (given / ARCHIVE).exists():
        subprocess.run(["dvc", "repro", "download"], cwd=ROOT, check=True)
        return _linked(Paths(ROOT), scratch / "elpv")
    with zipfile.ZipFile(given / ARCHIVE) as content:
        content.extractall(scratch)
    (images,) = (folder for folder in scratch.iterdir() if folder.is_dir())
    return images


def weights_setting(case: Case) -> str:
    """Return the case's weights as a value for `-S weights.NAME=`."""
    if case.weights is None:
        return "random"
    return f"{{file: {case.weights.resolve()}, sha256: {files.hash_file(case.weights)}}}"


def enlarged(images: Path, count: int, folder: Path) -> Path:
    """Lay out so many images, half of each class: those that are there, then changed copies of them.

    A copy lacks some rows and columns of pixels, so it is an image of its own.
    """
    from PIL import Image

    for source in sorted(path for path in images.iterdir() if path.is_dir()):
        (folder / source.name).mkdir(parents=True)
        originals = sorted(source.iterdir())
        for number in range(count // 2):
            original = originals[number % len(originals)]
            target = folder / source.name / f"{number:05}{original.suffix}"
            turn = number // len(originals)
            if not turn:
                target.symlink_to(original.resolve())
                continue
            with Image.open(original) as image:
                image.convert("RGB").crop((turn, turn, image.width, image.height)).save(target, quality=90)
    return folder


def _linked(paths: Paths, folder: Path) -> Path:
    """Lay the default study's images out with one folder a class."""
    for row in pd.read_csv(paths.raw_index, dtype=str).itertuples():
        target = folder / str(row.label) / Path(str(row.path)).name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(paths.raw / str(row.path))
    return folder
