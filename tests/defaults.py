"""The default study's settings, as tests of single functions use them."""

from typing import Any

from tests.conftest import PROJECT
from unfreeze.features.plan import Settings
from unfreeze.settings.checks import Check, CheckSettings
from unfreeze.settings.images import Augment
from unfreeze.settings.params import load
from unfreeze.settings.training import Extract

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
