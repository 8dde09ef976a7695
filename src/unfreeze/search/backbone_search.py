"""The search of one backbone: the order of its trials, and its outcome."""

from unfreeze.errors import UnfreezeError
from unfreeze.records.trial import SearchResult, Trial, list_trained
from unfreeze.runtime import console
from unfreeze.search import tuner
from unfreeze.search.deeper import go_deeper
from unfreeze.search.journal import Journal
from unfreeze.search.outcome import choose_best, measure_gain
from unfreeze.search.planned import Planned
from unfreeze.search.rounds import RunRound
from unfreeze.search.trials import Trials
from unfreeze.settings.training import Search
from unfreeze.training.budget import Budget


def run_trials(
    trials: Trials,
    run_round: RunRound,
    points: list[str],
    search: Search,
    configured: str,
    *,
    seed: int,
    journal: Journal,
    budget: Budget,
) -> SearchResult:
    """Run the configured point and settings first, then the oracle's choice, then deeper points if they may pay.

    Args:
        trials: The trials, each from the same trained head.
        run_round: Runs some of them at the same time.
        points: Names of the points to choose from, in their order in the backbone.
        search: Space, oracle and budget.
        configured: Name of the configured unfreeze point.
        seed: Seed of the oracle and of the bootstrap.
        journal: What happened so far.
        budget: Seconds of search and fine-tuning, by arithmetic.

    Returns:
        All trials, the configured point and settings first, without what differs from run to run.

    Raises:
        UnfreezeError: All trials failed.
    """
    first = run_round([Planned(0, configured, {"learning_rate": trials.phase.learning_rate})])
    name = trials.transfer.backbone.row.name
    network = trials.transfer.backbone
    starts = [trials.points[point] for point in (*points, configured)]

    def allows_round(ended: list[Trial]) -> bool:
        # One epoch is left for fine-tuning.
        epochs = search.epochs * search.at_once + 1
        allowed = budget.allows(network, list_trained([*first, *ended]), starts, epochs)
        if not allowed and len(first) + len(ended) < search.max_trials:
            console.log.info("%s: study.minutes leaves no time for further trials", name)
        return allowed

    others = tuner.search(
        run_round, trials.get, points, name, search, seed=seed, journal=journal, allows_round=allows_round
    )
    ended = [*first, *others]
    deeper = go_deeper(network, run_round, ended, search, journal, budget)
    return _conclude(trials, [*ended, *deeper], seed)


def _conclude(trials: Trials, ended: list[Trial], seed: int) -> SearchResult:
    """Return the outcome of all trials, the configured point and settings first."""
    name = trials.transfer.backbone.row.name
    scored = [trial for trial in ended if not trial.failed]
    if not scored:
        raise UnfreezeError(
            f"{name}: all {len(ended)} trials failed; the first: {ended[0].failed}. Change what they have in common "
            f"and remove {trials.folder.parent} to begin anew"
        )
    best = choose_best(scored)
    gain = None
    if not ended[0].failed:
        configured, winner = (trials.load_probabilities(trial.trial) for trial in (ended[0], best))
        gain = measure_gain(configured, winner, trials.transfer.features.plan.val.labels, seed)
    console.log.info(
        "%s: best of %d trials: from %s at %.2g, score %.4f",
        name, len(ended), best.unfreeze_from, best.settings["learning_rate"], best.score,
    )  # fmt: skip
    return SearchResult(
        best=best.drop_measured(),
        gain_over_configured=gain,
        trials=tuple(trial.drop_measured() for trial in ended),
    )
