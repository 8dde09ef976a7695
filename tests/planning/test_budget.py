import pytest

from tests.planning.studies import NETWORK, PHASE, changed, job
from unfreeze.errors import UnfreezeError
from unfreeze.planning.budget import require_budget
from unfreeze.planning.jobs import Scale
from unfreeze.planning.machine import Room
from unfreeze.planning.plan import Study
from unfreeze.training.budget import estimate_epoch

ROOM = Room(disk_gb=100, memory_gb=16)
SCALE = Scale(images=2000, raw_mb=100, backbones=2, seeds=0)
# Behind the configured point, the layer "top", are 200 million multiply-accumulates and a million values.
EPOCH = estimate_epoch(200e6, 1e6, train=1200, val=400, batch_size=32)


def require(minutes: float | None, *, scale: Scale | None = SCALE, seeds: int = 0, trials: bool = True) -> None:
    settings = changed(
        train={"finetune": {"default": {**PHASE, "epochs": 28}}}, search={"enabled": {"default": trials}}
    )
    scale = scale and Scale(images=scale.images, raw_mb=scale.raw_mb, backbones=scale.backbones, seeds=seeds)
    require_budget(Study(settings=settings, scale=scale, networks={"a": NETWORK}), ROOM, minutes)


@pytest.mark.parametrize(("trials", "seeds", "epochs"), [(False, 0, 1), (True, 0, 2), (True, 2, 4)])
def test_minutes_for_less_than_one_epoch_are_refused(trials: bool, seeds: int, epochs: int) -> None:
    # Half of the minutes are for training: the first trial, one epoch a seed.
    enough = 2 * epochs * EPOCH / 60
    require(enough * 1.001, seeds=seeds, trials=trials)
    with pytest.raises(
        UnfreezeError, match=r"^a: study.minutes=.* raise study.minutes, .*or lower search.max_trials"
    ):
        require(enough * 0.999, seeds=seeds, trials=trials)


def test_nothing_is_refused_without_minutes_or_before_images_are_known() -> None:
    require(None)
    require(1e-6, scale=None)


@pytest.mark.parametrize(("minutes", "trials", "epochs"), [(None, True, 28), (1.0, False, 6), (1.0, True, 1)])
def test_the_epochs_that_are_foreseen_are_those_that_minutes_leave(
    minutes: float | None, trials: bool, epochs: int
) -> None:
    settings = changed(
        train={"finetune": {"default": {**PHASE, "epochs": 28}}}, search={"enabled": {"default": trials}}
    )
    settings["study"] = {"minutes": minutes and 2 * 6.5 * EPOCH / 60}
    training = job("finetune", settings=settings).training
    assert training and training.epochs == epochs
