"""Shared by all tests: small images made on the spot, a checkout to run real DVC in, and how tests are marked.

Every run of pytest imports this file, that of a single test too: it imports what takes long on first use.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing.spawn
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import warm
from unfreeze.paths import Paths

if TYPE_CHECKING:
    from PIL import Image

    from unfreeze.settings.params import Params

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

# A worker holds the networks of hundreds of tests, millions of objects, and looking through them for garbage as often
# as Python does by itself takes a fifteenth of its time.
gc.set_threshold(50_000, 20, 100)

pytest_plugins = ["tests.allowed_skips"]

PROJECT = Path(__file__).parents[1]

# The PATH of a user who has activated the environment: its programs start as they are installed.
INSTALLED = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"

# Seconds that a command may take: minutes of work, on a machine three times slower, with other tests beside it.
PATIENCE = 1500

# Seconds instead of minutes; every stage still does its work.
SMALL = (
    "study.backbones=[from_scratch]",
    "preprocess.image_size=32",
    "train.head.default.epochs=2",
    "train.finetune.default.epochs=1",
    "train.finetune.from_scratch.epochs=3",
    "search.max_trials=2",
    "search.epochs=1",
    "search.deeper=0",
)

# The study of the fixture `studied`.
STUDIED = (
    *SMALL,
    "study.backbones=[mobilenetv2,from_scratch]",
    "+weights.mobilenetv2=random",
    "unfreeze.candidates.default=[none,{blocks: 1}]",
    "search.enabled.from_scratch=true",
)


@pytest.fixture(autouse=True)
def _forget_how_to_log() -> Iterator[None]:
    """Let pytest see what is logged, whatever a command that ran in this process before made of the log."""
    _reset_log()
    yield
    _reset_log()


@pytest.fixture(scope="session", autouse=True)
def _start_processes_at_once(request: pytest.FixtureRequest) -> None:
    """Let the processes that tests start by `multiprocessing` have their libraries, where tests are slow anyway."""
    if any(item.get_closest_marker("slow") for item in request.session.items):
        from unfreeze.records.code_digests import find_digests

        multiprocessing.spawn.set_executable(str(warm.find_programs() / "python"))
        find_digests(Paths(PROJECT))
        _find_scripts()


@pytest.fixture(scope="module")
def real_processes() -> Iterator[None]:
    """Let `multiprocessing` start real processes, for tests of how they end and of what they inherit."""
    before = multiprocessing.spawn.get_executable()
    multiprocessing.spawn.set_executable(sys.executable)
    yield
    multiprocessing.spawn.set_executable(before)


def _find_scripts() -> None:
    """Keep the script of the report's charts in this checkout, once for all runs of the tests."""
    if not list(Paths(PROJECT).planning.glob("vega-*.js")):
        from unfreeze.figures import vega

        vega.find_scripts(Paths(PROJECT).planning)


def hand_on_known(paths: Paths) -> None:
    """Give a copy of this checkout the digests of its code and the charts' script: each takes a second to compute."""
    known = Paths(PROJECT).planning
    for path in [Paths(PROJECT).known_code, *known.glob("vega-*.js")]:
        if path.exists():
            paths.planning.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, paths.planning)


def _reset_log() -> None:
    log = logging.getLogger("unfreeze")
    log.handlers.clear()
    # As without a setting; libraries that are run in this process raise the level of all loggers, or turn some off.
    log.setLevel(logging.WARNING)
    log.propagate, log.disabled = True, False
    logging.disable(logging.NOTSET)


# Fixtures that run a study: one worker runs the tests of each, so that the study runs once.
STUDIES = {"studied", "reported", "extracted", "searchable", "seen", "corrected"}
# `make quick` leaves out, and does not import, tests that run DVC, start a server or a browser, or import TensorFlow
# or MLflow, which takes seconds: those that use these fixtures, and those in these files and folders.
SLOW_FIXTURES = STUDIES | {"checkout", "begun", "server", "start_nodes"}
SLOW_FILES = {
    "checks/test_added_image_check.py",
    "checks/test_page_in_a_browser.py",
    "checks/test_planted_faults.py",
    "ci/test_bad_input.py",
    "ci/test_certification.py",
    "ci/test_loop.py",
    "ci/test_retraining.py",
    "cli/test_damaged_files.py",
    "cli/test_interrupts.py",
    "cli/test_main.py",
    "cli/test_plan.py",
    "cli/test_serve.py",
    "cli/test_serving_image.py",
    "cli/test_stages.py",
    "cluster/test_killed_stages.py",
    "cluster/test_tasks.py",
    "evaluation/test_metric_registry.py",
    "features/test_extraction.py",
    "figures/test_draw.py",
    "images/test_augment.py",
    "models",
    "planning/test_networks.py",
    "release/test_promotion.py",
    "release/test_scoring.py",
    "report/test_corrections.py",
    "report/test_page.py",
    "report/test_page_in_a_browser.py",
    "runtime/test_console.py",
    "runtime/test_isolated_map.py",
    "search/test_trials.py",
    "search/test_tuner.py",
    "serving/service/test_app.py",
    "serving/service/test_decoders.py",
    "serving/service/test_explaining.py",
    "serving/service/test_hostile.py",
    "serving/service/test_limits.py",
    "serving/service/test_page.py",
    "serving/service/test_registered_reload.py",
    "serving/service/test_reload.py",
    "settings/test_oracles.py",
    "sources/test_fuzz.py",
    "sources/test_with_dvc.py",
    "stages/test_check.py",
    "stages/test_corrections.py",
    "stages/test_evaluate.py",
    "stages/test_extract.py",
    "stages/test_finetune.py",
    "stages/test_int8.py",
    "stages/test_learning_curve.py",
    "stages/test_reach.py",
    "stages/test_search.py",
    "stages/test_verdict.py",
    "test_allowed_skips.py",
    "test_benchmarks.py",
    "test_makefile.py",
    "test_pipeline.py",
    "test_serving_benchmark.py",
    "test_six_backbones.py",
    "tracking",
    "training",
}


def __getattr__(name: str) -> Any:
    """Import the default study's settings when a test asks for them."""
    if name in {"CHECKS", "LIMITS", "SETTINGS", "change_check"}:
        from tests import defaults

        return getattr(defaults, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def draw(colour: tuple[int, int, int], seed: int, side: int = 40) -> Image.Image:
    """Draw a noisy square of a colour."""
    import numpy as np
    from PIL import Image

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
    from dvc.utils.hydra import compose_and_dump

    from unfreeze.dvc_repo import load_resolvers
    from unfreeze.settings.params import load

    load_resolvers(PROJECT / "conf")
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
        for folder in ("test_evaluations", "metrics/export"):
            (root / folder).mkdir(parents=True)
            shutil.copy(PROJECT / folder / "README.md", root / folder)
        (root / ".dvc").mkdir()
        for name in ("config", ".gitignore"):
            shutil.copy(PROJECT / ".dvc" / name, root / ".dvc" / name)
        self.run("git", "init", "--quiet")
        self.run("git", "config", "user.email", "test@example.org")
        self.run("git", "config", "user.name", "test")
        hand_on_known(self.paths)
        self.commit()

    def clone(self, root: Path, *options: str) -> Checkout:
        """Clone the committed state with git, as over a network."""
        self.run("git", "clone", "--quiet", *options, f"file://{self.root}", str(root))
        return Checkout.around(root)

    @classmethod
    def around(cls, root: Path) -> Checkout:
        """Return a checkout that is there already."""
        made = object.__new__(cls)
        made.root, made.paths = root, Paths(root)
        hand_on_known(made.paths)
        return made

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "state", "--allow-empty")

    def compose(self, *overrides: str) -> Params:
        return compose(self.paths.params, *SMALL, *overrides)

    def try_run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a user would, with programs that start at once (`tests.warm`) first on the PATH."""
        without = {"MLFLOW_TRACKING_URI", "PYTHONDONTWRITEBYTECODE"}
        inherited = {name: value for name, value in os.environ.items() if name not in without}
        path = f"{warm.find_programs()}:{INSTALLED}"
        return subprocess.run(
            command,
            cwd=self.root,
            env={**inherited, "PATH": path, "PYTHONPATH": str(self.root / "src"), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def run(self, *command: str, **environment: str) -> str:
        done = self.try_run(*command, **environment)
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout + done.stderr

    def change_params(self, **sections: dict[str, object] | object) -> None:
        """Edit params.yaml by hand, as a user would."""
        import yaml

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
    from tests.tracking.empty_store import put_empty_store

    made = Checkout(folder / "checkout")
    put_empty_store(made.paths.mlflow_database)
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
        *STUDIED[len(SMALL) :],
    )
    made.run("dvc", "repro")
    made.commit()
    return made


@pytest.fixture(scope="session")
def start_nodes() -> Callable[..., AbstractContextManager[Any]]:
    """Return what starts Ray; a test that uses it, or a fixture that does, gets the marker `cluster`."""
    from tests.cluster import ray_nodes

    return ray_nodes.start_nodes


@pytest.fixture
def edited(studied: Checkout, tmp_path: Path) -> Checkout:
    """Return a copy of that checkout, which a test may change."""
    shutil.copytree(studied.root, tmp_path / "edited", symlinks=True)
    return Checkout.around(tmp_path / "edited")


@pytest.fixture(autouse=True)
def _keep_the_study(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves files in the checkout of `studied`, or changes some: the tests after it share it."""
    if "studied" not in request.fixturenames:
        yield
        return
    study: Checkout = request.getfixturevalue("studied")
    before = study.run("git", "status", "--porcelain")
    yield
    assert study.run("git", "status", "--porcelain") == before, "take the fixture `edited`"


def pytest_pycollect_makemodule(module_path: Path) -> None:
    """Give properties all the time they need: a machine that is busy with something else is no failure."""
    if "hypothesis" in module_path.read_text():
        import hypothesis

        hypothesis.settings.register_profile("patient", deadline=None)
        hypothesis.settings.load_profile("patient")


def is_slow(path: Path) -> bool:
    """Tell whether a file's tests are slow as a whole."""
    within = path.relative_to(PROJECT / "tests")
    return any(str(part) in SLOW_FILES for part in (within, *within.parents))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file whose tests are all slow, and no fixtures of such a folder, where slow tests are not wanted."""
    unwanted = config.getoption("markexpr") == "not slow" and collection_path.is_relative_to(PROJECT / "tests")
    return True if unwanted and is_slow(collection_path) else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark slow tests and those that start Ray, and keep the tests of one study on one worker."""
    fixtures = set(getattr(item, "fixturenames", ()))
    for fixture in STUDIES & fixtures:
        item.add_marker(pytest.mark.xdist_group(fixture))
    if SLOW_FIXTURES & fixtures or is_slow(item.path):
        item.add_marker(pytest.mark.slow)
    if "start_nodes" in fixtures:
        item.add_marker(pytest.mark.cluster)


def processor_time(work: Callable[[], object]) -> float:
    """Return the seconds of processor time that this process needs for some work: tests compare two of them."""
    before = time.process_time()
    work()
    return time.process_time() - before


def runs(process: int) -> bool:
    """Tell whether a process is there and has not ended."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_until_ended(processes: Collection[int]) -> None:
    """Wait until processes that others end have ended."""
    ends = time.monotonic() + PATIENCE
    while any(map(runs, processes)) and time.monotonic() < ends:
        time.sleep(0.02)
    assert not any(map(runs, processes))


def children_of(process: int) -> list[int]:
    """Return the processes that one has started."""
    return [
        int(child) for path in Path(f"/proc/{process}/task").glob("*/children") for child in path.read_text().split()
    ]
