"""The budget of a study, before anything runs: one that is too small for a single epoch is refused."""

from unfreeze.errors import UnfreezeError
from unfreeze.planning.jobs import Job
from unfreeze.planning.machine import Room
from unfreeze.planning.plan import Study, describe
from unfreeze.settings.training import UnfreezePoint
from unfreeze.training.budget import Budget


class _Counted:
    """The layers behind the cuts of a job, whose positions stand for unfreeze points."""

    def __init__(self, job: Job) -> None:
        assert job.training is not None
        self._training = job.training

    def find_cut(self, point: UnfreezePoint) -> int:
        assert isinstance(point, int)
        return point

    def count_work(self, position: int) -> tuple[int, int]:
        end = self._training.end
        cut = next(cut for cut in self._training.cuts if cut.position == position)
        return end.macs - cut.macs, end.trained_values - cut.trained_values


def require_budget(study: Study, room: Room, minutes: float | None) -> None:
    """Refuse a budget that leaves no epoch of fine-tuning, even if all trials take the least.

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
        training, counted = job.training, _Counted(job)
        budget = Budget(minutes, job.train, job.val, training.batch_size)
        try:
            budget.require_epoch(
                counted,
                [cut.position for cut in training.cuts],
                training.epochs,
                trials=training.trials,
                trial_epochs=training.trial_epochs,
                trainings=1 + study.scale.seeds,
            )
        except UnfreezeError as error:
            raise UnfreezeError(f"{backbone}: {error}") from error
