"""Rounds of trials that run at the same time: in this process one by one, or as tasks of the cluster."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from unfreeze.cluster.shards import Cluster
from unfreeze.cluster.tasks import Job
from unfreeze.records.trial import Trial
from unfreeze.runtime import console
from unfreeze.search.planned import Planned
from unfreeze.search.trials import Trials, explain_deaths

# Runs the trials of a round, and returns them in the same order.
RunRound = Callable[[Sequence[Planned]], list[Trial]]
Load = Callable[[], AbstractContextManager[Callable[[Planned], Trial]]]


@contextmanager
def open_rounds(trials: Trials, cluster: Cluster, load: Load, at_once: int) -> Iterator[RunRound]:
    """Yield what runs the trials of a round; those that have ended before are not run again.

    Args:
        trials: The trials in this process, whose head is trained.
        cluster: Runs those of a round at the same time.
        load: Returns what runs a trial in another process; a partial of a module-level function.
        at_once: Most trials of a round; one alone runs in this process, with all of its processors.
    """
    if at_once == 1:

        def run_here(planned: Sequence[Planned]) -> list[Trial]:
            ended = [trials.run(one) for one in planned]
            trials.drop_poor_states()
            return ended

        yield run_here
        return
    trials.keep_head()
    name = trials.transfer.backbone.row.name

    def give_up(one: Planned, tries: int) -> Trial:
        return trials.leave_out(one, explain_deaths(tries))

    job = Job(f"search@{name}", "trials", load, _describe, give_up)
    with cluster.open_tasks(job) as run_tasks:

        def run_there(planned: Sequence[Planned]) -> list[Trial]:
            missing = [one for one in planned if trials.find_planned(one) is None]
            for trial in run_tasks(missing):
                trials.report(trial)
                console.log.info("%s trial %d: %s", name, trial.trial, trial.failed or f"score {trial.score:.4f}")
            trials.drop_poor_states()
            return [trials.get(one.number) for one in planned]

        yield run_there


def _describe(one: Planned) -> str:
    return f"trial {one.number}"
