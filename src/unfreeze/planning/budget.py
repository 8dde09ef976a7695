"""The budget of a study, before anything runs: one that is too small for a single epoch is refused."""

from unfreeze.errors import UnfreezeError
from unfreeze.planning.machine import Room
from unfreeze.planning.plan import Study, describe
from unfreeze.training.budget import Budget


def require_budget(study: Study, room: Room, minutes: float | None) -> None:
    """Refuse a budget that leaves no epoch of fine-tuning after the first trial, which is from the configured point.

    Args:
        study: What costs follow from.
        room: What is free.
        minutes: `study.minutes`.

    Raises:
        UnfreezeError: It is too small.
    """
    if minutes is None or study.scale is None:
        return
    for backbone in study.networks:
        job = describe("finetune", backbone, study, room)
        if job is None or job.training is None:
            continue
        training = job.training
        budget = Budget(minutes, job.train, job.val, training.batch_size)
        first = [(training.point, training.trial_epochs)] if training.trials else []
        try:
            budget.limit_epochs(training, first, training.point, training.epochs, trainings=1 + study.scale.seeds)
        except UnfreezeError as error:
            raise UnfreezeError(f"{backbone}: {error}") from error
