from pathlib import Path

from dvc.utils.hydra import compose_and_dump

from tests.conftest import PROJECT, Checkout
from unfreeze.ci.retraining import Plan, compose_preset
from unfreeze.settings.params import load


def test_a_preset_is_composed_as_an_experiment_composes_it(checkout: Checkout, tmp_path: Path) -> None:
    compose_preset(checkout.paths, "tiny")
    compose_and_dump(str(tmp_path / "params.yaml"), str(PROJECT / "conf"), None, "config", "", ["study=tiny"])
    assert checkout.paths.params.read_bytes() == (tmp_path / "params.yaml").read_bytes()
    assert load(checkout.paths.params).study.name == "tiny"


def test_each_preset_has_a_branch_of_its_own_that_carries_its_params(checkout: Checkout) -> None:
    checkout.compose("data=folder", "data.source=photos")
    checkout.commit()
    plain, tiny = (Plan.of(checkout.paths, preset, "main") for preset in (None, "tiny"))
    assert tiny.branch == f"{plain.branch}-tiny"
    assert set(tiny.results) - set(plain.results) == {"params.yaml"}
    assert {"dvc.lock", "reports/flips.png", "metrics/verdict.json", "reports/report.md"} <= set(plain.results)
    assert "models/from_scratch.keras" not in plain.results
