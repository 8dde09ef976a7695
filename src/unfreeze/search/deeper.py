"""Further trials from deeper unfreeze points, while deeper pays or the result is poor, within the budget."""

from collections.abc import Sequence

from unfreeze.models.backbone import Backbone
from unfreeze.records.trial import Trial, list_trained
from unfreeze.runtime import console
from unfreeze.search.journal import Journal
from unfreeze.search.outcome import choose_best
from unfreeze.search.planned import Planned
from unfreeze.search.rounds import RunRound
from unfreeze.settings.training import Search
from unfreeze.training.budget import Budget
from unfreeze.training.cycles import FIRST_CYCLE

# With a better result it takes the deepest point to be the best one to look deeper: on photographs the frozen layers
# do most of the work, and each deeper trial costs twice as much.
GOOD = 0.9
# Each point's learning rate is this part of the last one's: in lower layers steps add up. At 1e-4 the whole of
# MobileNetV2 lost in an epoch what it knew, and at a fifth of that it gained, on grey slices of bodies.
RATE_FACTOR = 0.5
# A deeper point is tried only if so many epochs from it are left for fine-tuning.
LEAST_EPOCHS = 8


def go_deeper(
    network: Backbone,
    run_round: RunRound,
    ended: Sequence[Trial],
    search: Search,
    journal: Journal,
    budget: Budget,
) -> list[Trial]:
    """Run further trials, each from twice as many blocks as the deepest so far and at half the learning rate.

    Their settings are those of the best. They run while the deepest point is the best. Where the best result is poor
    all run, with the epochs of a first cycle of fine-tuning, and rates begin at half the configured one at least:
    after one epoch the best is often what changed the least.

    Scores and arithmetic decide, so that a search that is taken up again makes the same ones; `search.max_minutes`
    alone goes by the clock.

    Args:
        network: The backbone.
        run_round: Runs some of them.
        ended: Those that the oracle chose, and the configured one.
        search: Budget of trials and minutes, epochs of a trial.
        journal: What the oracle's trials took.
        budget: Seconds of search and fine-tuning.

    Returns:
        The further trials, in their order.
    """
    added: list[Trial] = []
    shallow = [trial for trial in ended if not trial.failed]
    while shallow and len(added) < search.deeper:
        if _is_time_up(search, journal, added):
            break
        every = [*ended, *added]
        scored = [trial for trial in every if not trial.failed]
        best = choose_best(scored)
        deepest = min(scored, key=lambda trial: network.find_first_trainable(trial.unfreeze_point))
        point = network.find_deeper(deepest.unfreeze_point)
        is_poor = (best.val_accuracy or 0.0) < GOOD
        if point is None or not (is_poor or best.unfreeze_from == deepest.unfreeze_from):
            break
        name, point = network.resolve_point(point)
        epochs = FIRST_CYCLE if is_poor else search.epochs
        if not budget.allows(network, list_trained(every), [point], epochs + LEAST_EPOCHS):
            console.log.info("%s: study.minutes leaves no time to train from %s", network.row.name, name)
            break
        rate = choose_best(shallow).settings["learning_rate"]
        if is_poor:
            rate = max(rate, ended[0].settings["learning_rate"])
        settings = {**best.settings, "learning_rate": rate * RATE_FACTOR ** (len(added) + 1)}
        number = max(trial.trial for trial in every) + 1
        added += run_round([Planned(number, name, settings, epochs=FIRST_CYCLE if is_poor else None)])
    return added


def _is_time_up(search: Search, journal: Journal, added: Sequence[Trial]) -> bool:
    """Tell whether the search has taken the minutes that it may; a trial's time is kept with it."""
    if search.max_minutes is None:
        return False
    taken: float = sum(event["seconds"] for event in journal.events) + sum(trial.seconds or 0.0 for trial in added)
    return taken > 60 * search.max_minutes
