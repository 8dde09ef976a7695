"""What tests share: small images they make themselves, and a checkout to run real DVC in."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import yaml
from dvc.utils.hydra import compose_and_dump
from PIL import Image

from unfreeze.features.cache import Settings
from unfreeze.paths import Paths
from unfreeze.settings.checks import Check, CheckSettings
from unfreeze.settings.images import Augment
from unfreeze.settings.params import Params, load
from unfreeze.settings.training import Extract

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

# A machine that is busy with something else is no failure.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

PROJECT = Path(__file__).parents[1]

SETTINGS = Settings(
    seed=0,
    augment=Augment(views=1, horizontal_flip=True, vertical_flip=False, rotation=0, shear=0, scale=0, brightness=0),
    extract=Extract(engine="auto", precision="float32", batch_size=8, dtype="float16", max_gb=1),
)

_OF_DEFAULT_STUDY = load(PROJECT / "params.yaml").checks
LIMITS = _OF_DEFAULT_STUDY.limits
CHECKS = CheckSettings(
    unreadable=LIMITS.unreadable,
    **{name: check for name, check in _OF_DEFAULT_STUDY if isinstance(check, Check)},
)


def change_check(name: str, **changes: Any) -> CheckSettings:
    """Return the default study's checks with one of them changed."""
    return CheckSettings({**CHECKS, name: CHECKS[name].model_copy(update=changes)})


# Seconds instead of minutes; every stage still does its work.
SMALL = (
    "study.backbones=[from_scratch]",
    "preprocess.image_size=32",
    "train.head.default.epochs=2",
    "train.finetune.default.epochs=1",
    "train.finetune.from_scratch.epochs=3",
    "search.max_trials=2",
    "search.epochs=1",
)


def draw(colour: tuple[int, int, int], seed: int, side: int = 40) -> Image.Image:
    """Draw a noisy square of a colour."""
    noise = np.random.default_rng(seed).integers(-40, 40, (side, side, 3))
    return Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype("uint8"))


def fill_with_images(folder: Path, *, classes: int = 2, images: int = 16, side: int = 40) -> Path:
    """Fill a folder with one folder a class: red, green, blue, ..."""
    colours = [(170, 80, 80), (80, 80, 170), (80, 170, 80), (160, 160, 60)]
    for number, name in enumerate(["red", "blue", "green", "yellow"][:classes]):
        (folder / name).mkdir(parents=True)
        for image in range(images):
            draw(colours[number], 1000 * number + image, side).save(folder / name / f"{image:03}.png")
    return folder


@pytest.fixture
def make_images() -> Callable[..., Path]:
    return fill_with_images


def compose(target: Path, *overrides: str) -> Params:
    """Write params.yaml as `dvc exp run -S` would, and read it."""
    compose_and_dump(str(target), str(PROJECT / "conf"), None, "config", "", list(overrides))
    return load(target)


class Checkout:
    """A copy of the project with a git repository of its own, for real DVC."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = Paths(root)
        root.mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        for name in ("src", "conf", "checks", "plugins"):
            shutil.copytree(PROJECT / name, root / name, ignore=ignored)
        for name in ("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore", "requirements.lock"):
            shutil.copy(PROJECT / name, root / name)
        (root / ".dvc").mkdir()
        for name in ("config", ".gitignore"):
            shutil.copy(PROJECT / ".dvc" / name, root / ".dvc" / name)
        self.run("git", "init", "--quiet")
        self.run("git", "config", "user.email", "test@example.org")
        self.run("git", "config", "user.name", "test")
        self.commit()

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "state", "--allow-empty")

    def compose(self, *overrides: str) -> Params:
        return compose(self.paths.params, *SMALL, *overrides)

    def try_run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a user would, with the environment's programs first on the PATH."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        inherited = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        return subprocess.run(
            command,
            cwd=self.root,
            env={**inherited, "PATH": path, "PYTHONPATH": str(self.root / "src"), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )

    def run(self, *command: str, **environment: str) -> str:
        done = self.try_run(*command, **environment)
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout + done.stderr

    def change_params(self, **sections: dict[str, object] | object) -> None:
        """Edit params.yaml by hand, as a user would."""
        values = yaml.safe_load(self.paths.params.read_text())
        for name, change in sections.items():
            if isinstance(change, dict) and isinstance(values.get(name), dict):
                values[name].update(change)
            else:
                values[name] = change
        self.paths.params.write_text(yaml.safe_dump(values))

    @contextmanager
    def changed_params(self, **sections: dict[str, object] | object) -> Iterator[None]:
        """Edit params.yaml, and have it back as it was when the block ends."""
        before = self.paths.params.read_text()
        self.change_params(**sections)
        try:
            yield
        finally:
            self.paths.params.write_text(before)


def checkout_with_images(folder: Path, images: int, *overrides: str) -> Checkout:
    """Return a checkout whose parameters name a folder of two classes with so many images each."""
    made = Checkout(folder / "checkout")
    source = fill_with_images(folder / "images", images=images)
    made.compose("data=folder", f"data.source={source}", *overrides)
    return made


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@pytest.fixture(scope="session")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a checkout in which a small study with two backbones has run from end to end."""
    made = checkout_with_images(
        tmp_path_factory.mktemp("studied"),
        24,
        "study.backbones=[mobilenetv2,from_scratch]",
        "+weights.mobilenetv2=random",
        "unfreeze.candidates.default=[none,{blocks: 1}]",
        "search.enabled.from_scratch=true",
    )
    made.run("dvc", "repro")
    made.commit()
    return made


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep the tests of one small study on one worker, so that the study runs once."""
    for fixture in {"studied", "six", "extracted", "searchable"} & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.xdist_group(fixture))


def runs(process: int) -> bool:
    """Tell whether a process is there and has not ended."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def children_of(process: int) -> list[int]:
    """Return the processes that one has started."""
    return [
        int(child) for path in Path(f"/proc/{process}/task").glob("*/children") for child in path.read_text().split()
    ]
