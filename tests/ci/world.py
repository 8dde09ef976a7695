"""The world of the loop on one machine: an origin, a DVC remote, an MLflow server and a pull-request API."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow

from tests.ci.github import GitHub, github
from tests.conftest import INSTALLED, PROJECT, Checkout, draw
from tests.tracking.stores import free, serving
from tests.warm import find_programs

COLOURS = {"red": (170, 80, 80), "blue": (80, 80, 170)}
IMAGES = 60
# Seconds instead of minutes, folds that stay as the data grows, and no error where labels are wrong on purpose.
SETTINGS = (
    "data=folder",
    "data.source=photos",
    "split.method=stable",
    "checks.near_duplicates.threshold=2",
    "search.enabled.default=false",
    # A network that learns two colours from labels of which half are wrong answers by chance: from this one it names
    # most wrongly, so that a right one is surely better on a few test images.
    "seed=1",
    "evaluate.pictures=1",
    "checks.one_class.level=warning",
    "checks.below_majority.level=warning",
    "promote.class_floor=0",
)


@dataclass
class World:
    """What outlives every checkout.

    Args:
        root: The folder that holds all of it.
        mlflow: Address of the MLflow server.
        hub: The pull-request API.
    """

    root: Path
    mlflow: str
    hub: GitHub

    @property
    def environment(self) -> dict[str, str]:
        """What a job sees."""
        return {"MLFLOW_TRACKING_URI": self.mlflow, **self.hub.environment}

    @property
    def client(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(self.mlflow)

    @property
    def remote(self) -> Path:
        return self.root / "remote"

    def git(self, *arguments: str) -> str:
        """Ask the origin."""
        return subprocess.run(
            ["git", *arguments], cwd=self.root / "origin.git", capture_output=True, text=True, check=True
        ).stdout.strip()

    def clone(self, name: str) -> Checkout:
        """Return a new clone of main, with the cache that a CI service keeps from job to job."""
        folder = self.root / "clones" / name
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["git", "clone", "--quiet", str(self.root / "origin.git"), str(folder)], check=True)
        made = Checkout.around(folder)
        (folder / ".dvc/config.local").write_text(
            f"[cache]\n    dir = {self.root / 'cache'}\n['remote \"store\"']\n    url = {self.remote}\n"
        )
        return made

    def retrain(self, checkout: Checkout, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the loop as a job does."""
        return checkout.try_run("unfreeze", "ci", "retrain", *options, **{**self.environment, **environment})

    def killed_at(self, checkout: Checkout, step: str) -> None:
        """Run the loop and kill it with all it has started when it says that a step begins."""
        path = f"{find_programs()}:{INSTALLED}"
        with subprocess.Popen(
            ["unfreeze", "ci", "retrain"], cwd=checkout.root,
            env={**os.environ, **self.environment, "PATH": path, "PYTHONPATH": str(checkout.root / "src")},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        ) as running:  # fmt: skip
            assert running.stderr is not None
            told = []
            for line in running.stderr:
                told.append(line)
                if line.startswith(f"INFO step {step}: "):
                    os.killpg(running.pid, signal.SIGKILL)
                    break
            else:
                raise AssertionError(f"step {step} did not begin:\n{''.join(told)[-4000:]}")


def first_images(folder: Path, *, labels: str) -> None:
    """Fill a folder with two colours, half of them under the wrong label if labels are `mixed`."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, colour in COLOURS.items():
        for number in range(IMAGES):
            other = next(other for other in COLOURS if other != name)
            label = other if labels == "mixed" and number % 2 else name
            path = folder / label / f"{name}_{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(colour, list(COLOURS).index(name) * 1000 + number).save(path)


def track(checkout: Checkout, message: str) -> None:
    """Let DVC track the images, and commit all."""
    checkout.run("dvc", "add", "--quiet", "photos")
    checkout.run("git", "add", "--all")
    checkout.run("git", "commit", "--quiet", "--message", message)


@contextmanager
def world(root: Path) -> Iterator[World]:
    """Run the servers of the world in a folder until the block ends."""
    store = root / "mlflow"
    store.mkdir(parents=True, exist_ok=True)
    with serving(store, free()) as address, github() as hub:
        yield World(root, address, hub)


def populate(made: World) -> None:
    """Begin with a champion that has learnt from wrong labels; then a commit with the right ones arrives on main."""
    subprocess.run(
        ["git", "init", "--quiet", "--bare", "--initial-branch=main", str(made.root / "origin.git")], check=True
    )
    work = Checkout(made.root / "work")
    work.run("git", "checkout", "--quiet", "-b", "main")
    for folder in ("data", "models"):
        (work.root / folder).mkdir(exist_ok=True)
        shutil.copy(PROJECT / folder / ".gitignore", work.root / folder / ".gitignore")
    work.compose(*SETTINGS)
    first_images(work.root / "photos", labels="mixed")
    work.run("dvc", "remote", "add", "--default", "store", str(made.remote))
    work.run("dvc", "cache", "dir", "--local", str(made.root / "cache"))
    track(work, "images")
    work.run("dvc", "repro", **made.environment)
    work.commit()
    work.run("dvc", "push", "--quiet", "--run-cache")
    work.run("git", "push", "--quiet", str(made.root / "origin.git"), "main")
    work.run("unfreeze", "promote", "--force", "first champion", **made.environment)
    first_images(work.root / "photos", labels="right")
    track(work, "right labels")
    work.run("dvc", "push", "--quiet")
    work.run("git", "push", "--quiet", str(made.root / "origin.git"), "main")
