"""Another version is taken between two requests, and the present one stays where anything fails."""

import logging
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.serving.packed import draw_image, pack_small
from tests.serving.service.running import Running, run_service
from tests.serving.service.test_app import encode
from tests.serving.service.test_limits import wait_until
from unfreeze.errors import UnfreezeError
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.locate import Located

IMAGE = encode(draw_image("red", 0), "PNG")
SWAPS, CLIENTS = 20, 4


@dataclass
class Registry:
    """A file that names a folder stands for an alias of the registry."""

    file: Path
    folders: dict[str, Path] = field(default_factory=dict)

    def point_to(self, version: str) -> None:
        partial = self.file.with_suffix(".partial")
        partial.write_text(version)
        partial.replace(self.file)

    def locate(self) -> Located:
        version = self.file.read_text()
        if version == "down":
            raise UnfreezeError("the registry does not answer")
        note = "the registry is down, the kept copy answers" if version == "kept" else ""
        version = version.replace("kept", "1")
        return Located(self.folders[version], f"models:/cells/{version}", version, note)


@pytest.fixture(scope="module")
def versions(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    other = pack_small(tmp_path_factory.mktemp("other"), seed=1)
    damaged = Path(shutil.copytree(packed, tmp_path_factory.mktemp("damaged") / "package"))
    shutil.copyfile(other / "model.bin", damaged / "model.bin")
    return {"1": packed, "2": other, "3": damaged}


@pytest.fixture
def registry(tmp_path: Path, versions: dict[str, Path]) -> Registry:
    made = Registry(tmp_path / "alias", versions)
    made.point_to("1")
    return made


@pytest.fixture
def watched(registry: Registry) -> Iterator[Running]:
    with run_service(registry.locate(), watch=registry.locate) as one:
        yield one


def find_version(running: Running) -> str:
    return running.ask("/v2/models/cells").json["versions"][0]


def test_no_request_is_lost_through_twenty_swaps(
    watched: Running, registry: Registry, versions: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "image.png").write_bytes(IMAGE)
    expected = {}
    for version in ("1", "2"):
        classifier = Classifier(versions[version])
        (answers,) = classifier.classify([classifier.load(tmp_path / "image.png")[None]])
        expected[version] = answers.probabilities[0].tolist()
    ended, problems, seen = threading.Event(), [], set()

    def ask() -> None:
        while not ended.is_set():
            answer = watched.ask("/predict", IMAGE)
            if answer.status != 200:
                problems.append(answer.body)
                return
            said = answer.json
            version = said["model"]["version"]
            seen.add(version)
            # Each answer is wholly that of the version that it names.
            if list(said["predictions"][0]["probabilities"].values()) != pytest.approx(expected[version], abs=1e-5):
                problems.append(said)

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for swap in range(SWAPS):
        registry.point_to("12"[(swap + 1) % 2])
        wait_until(lambda swap=swap: watched.count('unfreeze_reloads_total{result="swapped"}') == swap + 1)
    ended.set()
    for client in clients:
        client.join()
    assert problems == []
    assert seen == {"1", "2"}


def test_a_version_that_fails_its_example_leaves_the_present_one(
    watched: Running, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("unfreeze").propagate = True
    registry.point_to("3")
    wait_until(lambda: watched.count("unfreeze_reload_failing") == 1)
    assert find_version(watched) == "1"
    assert watched.ask("/predict", IMAGE).json["model"]["version"] == "1"
    wait_until(lambda: "no other version is taken, cells version 1 goes on answering" in caplog.text)
    assert "its files do not belong together" in caplog.text
    # Rollback is a swap like others.
    registry.point_to("2")
    wait_until(lambda: find_version(watched) == "2")
    wait_until(lambda: watched.count("unfreeze_reload_failing") == 0)
    registry.point_to("1")
    wait_until(lambda: find_version(watched) == "1")


def test_a_registry_that_is_down_changes_nothing(
    watched: Running, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("unfreeze").propagate = True
    for state, said in (("down", "the registry does not answer"), ("kept", "the registry is down, the kept copy")):
        registry.point_to(state)
        wait_until(lambda said=said: said in caplog.text)
        wait_until(lambda: watched.count("unfreeze_reload_failing") == 1)
        assert find_version(watched) == "1"
        assert watched.ask("/predict", IMAGE).status == 200
    # A state that lasts is said once.
    assert caplog.text.count("the registry is down") == 1
    registry.point_to("2")
    wait_until(lambda: find_version(watched) == "2")
