"""A check of images that is added to a checkout: one file in plugins/image_checks/, nothing else."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from dvc.utils.hydra import compose_and_dump

from tests.conftest import PROJECT, Checkout, checkout_with_images
from unfreeze import files
from unfreeze.checks.image_check import load_image_checks
from unfreeze.settings.checks import Checks
from unfreeze.settings.params import load

TOO_RED = """
import numpy as np

from unfreeze.checks.image_check import ImageCheck, register


def measure_redness(picture):
    red, green, blue = np.asarray(picture.rgb, float).mean(axis=(0, 1))
    return red - (green + blue) / 2


register(
    ImageCheck(
        name="too_red",
        level="warning",
        threshold=60,
        title="images are red <throughout>",
        meaning="Their red is higher than the mean of green and blue by more than the threshold, of 255.",
        remedy="correct the white balance",
        measures={"redness": measure_redness},
        find=lambda images, threshold: images.rows["redness"] > threshold,
        detail="redness {redness:.0f}",
        worst_first="redness",
        low_is_worst=False,
    )
)
"""


def add_check(made: Checkout, text: str = TOO_RED) -> None:
    files.write_text(made.root / "plugins/image_checks/too_red.py", text)


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a checkout with 12 red and 12 blue images and the check."""
    made = checkout_with_images(tmp_path_factory.mktemp("added"), 12)
    add_check(made)
    made.run("unfreeze", "download")
    return made


def run_check(made: Checkout, *overrides: str) -> str:
    """Compose params.yaml as `dvc exp run -S` does, run both stages, and return the error."""
    given = ["data=folder", f"data.source={made.root.parent / 'images'}", *overrides]
    compose_and_dump(str(made.paths.params), str(made.root / "conf"), None, "config", "", given)
    made.run("unfreeze", "validate")
    done = made.try_run("unfreeze", "check")
    return done.stderr if done.returncode else ""


def test_it_measures_finds_and_explains(downloaded: Checkout) -> None:
    assert run_check(downloaded) == ""
    paths = downloaded.paths
    found = pd.read_csv(paths.findings).query("check == 'too_red'")
    assert found["path"].str.startswith("red/").tolist() == [True] * 12
    assert found["detail"].str.match(r"redness \d\d$").all()
    assert found["detail"].is_monotonic_decreasing
    manifest = pd.read_parquet(paths.manifest)
    assert manifest.groupby("label")["redness"].min()["red"] > 60 > manifest.groupby("label")["redness"].max()["blue"]
    assert "12 images are red &lt;throughout&gt;" in paths.findings_page.read_text()
    (rule,) = [
        rule for rule in files.read_json(paths.checks("manifest"))["expectations"] if rule["column"] == "too_red"
    ]
    assert (rule["level"], rule["success"], rule["unexpected"]) == ("warning", False, 12)
    assert "images are red &lt;throughout&gt; (red/" in (paths.data_docs / "manifest/index.html").read_text()


def test_its_level_and_threshold_are_settings(downloaded: Checkout) -> None:
    failed = run_check(downloaded, "+checks.too_red.level=error")
    assert "images are red <throughout> (red/" in failed
    assert "correct the white balance" in failed
    assert run_check(downloaded, "+checks.too_red.level=error", "+checks.too_red.threshold=200") == ""
    assert run_check(downloaded, "+checks.too_red.level=off") == ""
    assert "too_red" not in downloaded.paths.findings_page.read_text()


def test_its_findings_can_be_waived(downloaded: Checkout) -> None:
    before = downloaded.paths.waivers.read_text()
    entry = '- check: too_red\n  image: "*"\n  reason: dusk\n  expires: 2999-01-01\n'
    files.write_text(downloaded.paths.waivers, entry)
    assert run_check(downloaded, "+checks.too_red.level=error") == ""
    files.write_text(downloaded.paths.waivers, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"too_rad": {"level": "off"}}, "checks.too_rad: unknown parameter, did you mean 'too_red'?"),
        ({"too_red": {"threshold": -1}}, "checks.too_red.threshold: Input should be greater than or equal to 0"),
        ({"too_red": {"colour": "red"}}, "checks.too_red.colour: unknown parameter"),
        ({"too_red": 3}, "checks.too_red: Input should be"),
    ],
)
def test_its_settings_are_validated(downloaded: Checkout, change: dict[str, object], message: str) -> None:
    with downloaded.changed_params(checks=change):
        done = downloaded.try_run("unfreeze", "validate")
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name="too_red"', 'name="blurry"', "the name 'blurry' is taken"),
        ('name="too_red"', 'name="drift"', "another setting below checks has this name"),
        ('name="too_red"', 'name="Too red"', "no lower-case identifier"),
        ('"redness": measure', '"sharpness": measure', "the name 'sharpness' is taken"),
        ("threshold=60", "threshold=-60", "default of threshold: Input should be greater than or equal to 0"),
    ],
)
def test_a_check_that_cannot_be_added_is_named(downloaded: Checkout, old: str, new: str, message: str) -> None:
    add_check(downloaded, TOO_RED.replace(old, new))
    done = downloaded.try_run("unfreeze", "validate")
    add_check(downloaded)
    assert done.returncode == 1
    assert "plugins/image_checks/too_red.py" in done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_measure_that_fails_is_named(downloaded: Checkout) -> None:
    # Of another length than the other versions: Python takes a file of the same second and length for unchanged.
    add_check(downloaded, TOO_RED.replace("red - (green", "1 // 0 - (green"))
    failed = run_check(downloaded)
    add_check(downloaded)
    assert "image check 'too_red' cannot measure" in failed
    assert "ZeroDivisionError" in failed
    assert "Traceback" not in failed


def test_dvc_notices_the_check_and_its_settings(tmp_path: Path) -> None:
    made = checkout_with_images(tmp_path, 12)
    made.run("dvc", "repro", "check")
    add_check(made)
    made.run("dvc", "repro", "check")
    assert (pd.read_csv(made.paths.findings)["check"] == "too_red").sum() == 12
    with made.changed_params(checks={"too_red": {"threshold": 200}}):
        made.run("dvc", "repro", "check")
        assert "too_red" not in pd.read_csv(made.paths.findings)["check"].tolist()


def test_the_built_in_defaults_are_those_of_the_default_study() -> None:
    checks = load_image_checks()
    whole = load(PROJECT / "params.yaml").checks
    assert list(whole.select(checks)) == list(checks)
    for name, check in checks.items():
        settings = whole.select([name])
        assert (check.level, check.threshold) == (
            settings.get_level(name),
            getattr(settings[name], "threshold", None),
        )


def test_the_table_of_the_docs_lists_every_check_with_its_default_level() -> None:
    lines = (PROJECT / "docs/checks.md").read_text().split("| check | default |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.split("|")[1:3]] for line in lines]
    documented = {
        name.strip(" `"): level
        for names, levels in cells
        for name, level in zip(names.split(","), spread(levels, names.count(",") + 1), strict=True)
    }
    whole = load(PROJECT / "params.yaml").checks
    of_set = [name for name in Checks.model_fields if hasattr(getattr(whole, name), "level")]
    wanted = {name: whole.select([name]).get_level(name) for name in [*load_image_checks(), *of_set]}
    assert documented == wanted | {"min_images_per_class": "error"}


def spread(levels: str, count: int) -> list[str]:
    """Return one level a name, where a row gives one for all of its names."""
    each = [level.strip() for level in levels.split(",")]
    return each if len(each) == count else each * count


def test_settings_load_no_library_of_images() -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom unfreeze.settings.params import load\nload(Path('params.yaml'))\n"
        "print(*{'cv2', 'PIL', 'imagehash', 'scipy', 'sklearn', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
