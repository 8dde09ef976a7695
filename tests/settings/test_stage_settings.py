from dataclasses import dataclass

import pytest

from tests.conftest import PROJECT
from unfreeze.errors import UnfreezeError
from unfreeze.settings.base import ByBackbone
from unfreeze.settings.checks import CheckSettings, Limits
from unfreeze.settings.images import Split
from unfreeze.settings.params import load
from unfreeze.settings.stage_settings import declare_param, list_names, select


@dataclass(frozen=True)
class Settings:
    seed: int
    split: Split
    enabled: ByBackbone[bool] = declare_param("search.enabled")
    limits: Limits = declare_param("checks.on_bad", "checks.worker_gb")
    checks: CheckSettings = declare_param("checks.dark", "checks.near_duplicates")


def test_a_stage_gets_the_values_that_it_declares() -> None:
    params = load(PROJECT / "params.yaml")
    settings = select(params, Settings)
    assert settings.seed == params.seed
    assert settings.split == params.split
    assert settings.enabled.get("from_scratch") is False
    assert settings.limits.max_pixels == 100_000_000
    assert settings.checks.get_level("near_duplicates") == "warning"


def test_the_declared_names_are_those_of_dvc_yaml() -> None:
    assert list_names(Settings) == (
        "seed", "split", "search.enabled", "checks.on_bad", "checks.worker_gb", "checks.dark",
        "checks.near_duplicates",
    )  # fmt: skip


def test_a_check_that_is_not_declared_is_an_error() -> None:
    settings = select(load(PROJECT / "params.yaml"), Settings)
    with pytest.raises(UnfreezeError, match="the settings of check 'blurry' were asked for, declared are dark, near"):
        settings.checks.get_threshold("blurry")
