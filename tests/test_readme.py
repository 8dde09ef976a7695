"""What README tells users to type works."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import PROJECT
from unfreeze.images.decoding import load_rgb

# EXIF's tag of the orientation, and its value for a camera turned by a quarter.
ORIENTATION, QUARTER_TURN = 0x0112, 6


def python_lines() -> str:
    (block,) = re.findall(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    return str(block)


@pytest.mark.slow
def test_a_photograph_taken_upright_is_predicted_as_the_upright_one(tmp_path: Path) -> None:
    from unfreeze.models.backbone import Backbone
    from unfreeze.models.table import find_row
    from unfreeze.settings.training import DropoutSpec
    from unfreeze.training.heads import build_head

    backbone = Backbone(find_row("from_scratch"), 32)
    head = build_head(
        ("global_average_pooling", DropoutSpec(dropout=0.2)), features=backbone.feature_shape, classes=2,
        output="softmax",
    )  # fmt: skip
    (tmp_path / "models").mkdir()
    model = backbone.build_classifier(head)
    model.save(tmp_path / "models/xception.keras")
    assert "unfreeze" not in python_lines()
    # Dark on one side: lying down it is another image.
    upright = Image.fromarray(np.tile(np.linspace(0, 255, 60, dtype="uint8")[None, :, None], (80, 1, 3)))
    exif = Image.Exif()
    exif[ORIENTATION] = QUARTER_TURN
    turned = upright.transpose(Image.Transpose.ROTATE_90)

    def predict(image: Image.Image, **options: object) -> str:
        # Without loss, so that both hold the same pixels; the name is README's.
        image.save(tmp_path / "photo.jpg", "PNG", **options)
        command = [sys.executable, "-c", python_lines()]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300).stdout

    of_upright = predict(upright)
    assert re.fullmatch(r"\[\[0?\.\d+ +0?\.\d+ *\]\]\n", of_upright)
    assert predict(turned, exif=exif) == of_upright
    assert predict(turned) != of_upright
    # A real JPEG, larger than the decoder has to give.
    smooth = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    Image.fromarray(smooth).resize((900, 700)).save(tmp_path / "photo.jpg", "JPEG", exif=exif)
    command = [sys.executable, "-c", python_lines()]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300).stdout
    pixels = load_rgb(tmp_path / "photo.jpg", 32, max_pixels=10**6)
    expected = model.predict(pixels[None], verbose=0)[0]
    assert [float(value) for value in re.findall(r"[\d.e-]+", said)] == pytest.approx(expected, abs=1e-6)
