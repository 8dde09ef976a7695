"""What a person sees in MLflow's pages, in a real browser before a real server."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from benchmarks import ledger

from tests import chromium
from tests.conftest import Checkout
from tests.tracking.stores import free, serving
from unfreeze.paths import Paths
from unfreeze.settings.params import load
from unfreeze.tracking import keys, views
from unfreeze.tracking.server import Server

in_a_browser = [
    pytest.mark.skipif(chromium.PROGRAM is None, reason="there is no Chromium here"),
    pytest.mark.xdist_group("studied"),
]

# What MLflow asks of others and does not get, and notices of the libraries it is made of.
ITS_OWN = ("404 (Not Found)", "AG Grid", "ResizeObserver")
ROWS = "[...document.querySelectorAll('.ag-pinned-left-cols-container .ag-row a')].map((link) => link.innerText)"
# From left to right: the grid keeps them in another order.
HEADERS = """[...document.querySelectorAll('.ag-header-cell')].filter((cell) => cell.innerText)
  .sort((one, other) => one.getBoundingClientRect().left - other.getBoundingClientRect().left)
  .map((cell) => cell.innerText)"""
LINES = """[...document.querySelectorAll('.js-plotly-plot')]
  .map((plot) => plot.querySelectorAll('.scatterlayer .trace').length)"""
AREA = "document.querySelector('[data-testid=experiment-view-compare-runs-chart-area]').innerText"
AXES = "[...document.querySelectorAll('.parcoords text.label')].map((label) => label.textContent)"
TICKS = "[...document.querySelectorAll('.parcoords g.dimension')].map((axis) => axis.textContent)"
NOTE = "[...document.querySelectorAll('a')].filter((link) => link.innerText === '%s').map((link) => link.href)[0]"
TEXT = "document.body.innerText"


def until(condition: str) -> str:
    """Return a script that waits until a condition holds, 30 seconds at most."""
    return f"""(async () => {{
      const end = Date.now() + 30000;
      while (!({condition}) && Date.now() < end) await new Promise((done) => setTimeout(done, 50));
      return Boolean({condition});
    }})()"""


def named(text: str) -> str:
    """Return an expression for the innermost element with a text."""
    return f"[...document.querySelectorAll('*')].filter((one) => one.textContent.trim() === '{text}').at(-1)"


@dataclass
class Shown:
    """A server that has the small study, and a browser before it."""

    address: str
    browser: str
    client: Any
    experiment_id: str

    def see(self, page: str, *scripts: str, width: int = 2400) -> list[Any]:
        """Open a page and return what scripts say, in order."""
        seen = chromium.visit(self.browser, page, scripts, width=width)
        assert [one for one in seen.problems if not any(known in one for known in ITS_OWN)] == []
        assert [one for one in seen.requests if not one.startswith((self.address, "blob:"))] == []
        return seen.values

    def view(self, name: str) -> str:
        return views.list_addresses(self.address, self.experiment_id)[name]

    def link(self, name: str) -> str:
        """Return where a link of the note above the runs leads."""
        return str(self.see(self.view("comparison"), until(NOTE % name), NOTE % name)[1])

    def run_of(self, backbone: str) -> Any:
        wanted = f"tags.`{keys.KIND}` = 'backbone' AND tags.backbone = '{backbone}'"
        return self.client.search_runs([self.experiment_id], wanted)[0]


@pytest.fixture(scope="module")
def shown(studied: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    with (
        serving(tmp_path_factory.mktemp("server"), free()) as address,
        chromium.browser(tmp_path_factory.mktemp("browser")) as browser,
    ):
        studied.run("unfreeze", "sync", MLFLOW_TRACKING_URI=address)
        client = mlflow.MlflowClient(address)
        experiment = client.get_experiment_by_name("unfreeze")
        assert experiment
        yield Shown(address, browser, client, experiment.experiment_id)


class TestInABrowser:
    pytestmark = in_a_browser

    def test_backbones_stand_side_by_side_with_what_matters_first(self, shown: Shown) -> None:
        _, rows, headers, text = shown.see(
            shown.view("comparison"), until(f"{ROWS}.length === 2"), ROWS, HEADERS, TEXT
        )
        assert rows == ["from_scratch", "mobilenetv2"]
        assert headers[:5] == ["Run Name", "Created", "test_accuracy", "test_accuracy_low", "test_accuracy_high"]
        assert headers[2:12] == [column.name for column in views.COMPARED]
        assert "2 matching runs" in text
        assert "GenAI apps" not in text

    def test_the_curves_of_all_backbones_are_in_one_chart(self, shown: Shown) -> None:
        ready = until(f"{LINES}.length >= 2 && {LINES}.every((lines) => lines >= 2)")
        drawn, text = shown.see(shown.view("curves"), ready, AREA)
        assert drawn
        first = text.split("val_loss")[0]
        assert "from_scratch (val_accuracy)" in first
        assert "mobilenetv2 (val_accuracy)" in first

    def test_trials_are_parallel_coordinates(self, shown: Shown) -> None:
        drawn, axes, ticks, rows = shown.see(shown.view("trials"), until(f"{AXES}.length === 5"), AXES, TICKS, ROWS)
        assert drawn
        assert axes == ["backbone", "unfreeze_from", "learning_rate", "val_accuracy", "score"]
        assert "mobilenetv2" in ticks[0]
        assert "from_scratch" in ticks[0]
        assert len(rows) == 4

    def test_the_history_holds_backbones_of_all_studies(self, shown: Shown) -> None:
        _, rows, headers = shown.see(shown.view("history"), until(f"{ROWS}.length === 2"), ROWS, HEADERS)
        assert sorted(rows) == ["from_scratch", "mobilenetv2"]
        assert {"study", "data"} <= set(headers)

    @pytest.mark.parametrize("picture", ["confusion", "mistakes", "reliability"])
    def test_pictures_are_shown(self, shown: Shown, picture: str) -> None:
        run = f"experiments/{shown.experiment_id}/runs/{shown.run_of('mobilenetv2').info.run_id}"
        page = f"{shown.address}/#/{run}/artifacts/plots/mobilenetv2_{picture}.png"
        assert shown.see(page, until("[...document.images].some((image) => image.naturalWidth > 300)")) == [True]

    def test_the_note_leads_to_the_report_page(self, shown: Shown) -> None:
        inside = "fetch(document.querySelector('iframe').src).then((answer) => answer.text())"
        ready, page = shown.see(shown.link("report"), until("document.querySelector('iframe')?.src"), inside)
        assert ready
        assert "from_scratch is best" in page

    def test_the_note_leads_to_other_views(self, shown: Shown) -> None:
        assert shown.link("curves") == shown.view("curves")

    def test_the_model_page_has_signature_example_and_requirements(self, shown: Shown) -> None:
        model = shown.run_of("mobilenetv2").outputs.model_outputs[0].model_id
        page = f"{shown.address}/#/experiments/{shown.experiment_id}/models/{model}/artifacts"
        click = f"{named('MLmodel')}.click()"
        *_, ready, text = shown.see(
            page, until(named("MLmodel")), click, until("document.body.innerText.includes('signature')"), TEXT
        )
        assert ready
        for name in ("input_example.json", "requirements.txt", "packed", "python_function", "signature"):
            assert name in text


@pytest.fixture
def server(studied: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return Server(Paths(tmp_path), load(studied.paths.params).tracking.experiment)


def test_writing_views_again_changes_nothing_and_another_study_takes_them_over(server: Server) -> None:
    def tags_after(study: str) -> dict[str, str]:
        views.write_views(server.client, server.experiment_id, study, "run")
        return dict(server.client.get_experiment(server.experiment_id).tags)

    first = tags_after("aaaa")
    assert tags_after("aaaa") == first
    second = tags_after("bbbb")
    assert second.keys() == first.keys()
    assert "'bbbb/%'" in json.loads(second["mlflow.sharedViewState.trials"])["searchFilter"]
    assert second["mlflow.sharedViewState.history"] == first["mlflow.sharedViewState.history"]


def test_a_hundred_backbones_fit_into_the_note() -> None:
    made = SimpleNamespace(model_outputs=[SimpleNamespace(model_id="m-" + 32 * "0")])
    runs = [SimpleNamespace(info=SimpleNamespace(run_id=32 * "0", run_name="inceptionv3"), outputs=made)] * 100
    text = views.format_note("1", 32 * "0", runs)
    assert len(text) <= views.MAX_TAG
    assert text.endswith(" |\n")


@pytest.mark.parametrize("name", views.VIEWS)
def test_a_view_fits_into_a_tag(name: str) -> None:
    assert len(json.dumps(views.describe_view(views.VIEWS[name], 16 * "f"))) <= views.MAX_TAG


def test_addresses_name_the_view() -> None:
    address = views.list_addresses("http://127.0.0.1:5000/", "7")["curves"]
    assert address.startswith("http://127.0.0.1:5000/#/experiments/7/runs?")
    assert address.endswith("&compareRunsMode=CHART&viewStateShareKey=curves")


@pytest.mark.skipif(chromium.PROGRAM is None, reason="there is no Chromium here")
@pytest.mark.xdist_group("studied")
def test_backbones_are_found_among_more_runs_than_a_page_holds(
    studied: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MLflow's table shows 100 at a time.
    monkeypatch.setattr(ledger, "RUNS", 150)
    study = tmp_path / "study"
    left_out = shutil.ignore_patterns(".git", ".dvc", "raw", "features", "*.weights.h5", "mlflow.db*", "mlartifacts")
    shutil.copytree(studied.root, study, ignore=left_out)
    ledger.enlarge(Paths(study))
    with serving(tmp_path, free()) as address, chromium.browser(tmp_path / "browser") as browser:
        ledger.sync(study, address)
        client = mlflow.MlflowClient(address)
        experiment = client.get_experiment_by_name("unfreeze")
        assert experiment
        assert len(client.search_runs([experiment.experiment_id], max_results=2000)) > ledger.RUNS
        page = views.list_addresses(address, experiment.experiment_id)["comparison"]
        assert chromium.visit(browser, page, [until(f"{ROWS}.length === 2")], width=2400).values == [True]
