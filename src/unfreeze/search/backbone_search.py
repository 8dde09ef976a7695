"""The search of one backbone: its identity, the order of its trials, and its outcome."""

from typing import Any

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.search import tuner, workers
from unfreeze.search.journal import Journal
from unfreeze.search.outcome import Outcome, Row, choose_best, measure_gain
from unfreeze.search.trials import Trials
from unfreeze.settings.training import Search

# Parts of the cached features that are the same on every machine; cut and engine may differ.
SAME_EVERYWHERE = ("images", "weights", "split")


def identify(determined_by: dict[str, Any], features: dict[str, str]) -> str:
    """Return the digest that a search has on every machine.

    Args:
        determined_by: The points, and the parameters that trials depend on, by dotted name.
        features: What the cached features are determined by.
    """
    return files.digest({**determined_by, **{name: features[name] for name in SAME_EVERYWHERE}})


def run_trials(
    trials: Trials, space: tuner.Space, search: Search, configured: str, *, seed: int, journal: Journal | None
) -> Outcome | None:
    """Run the trials of this process: the configured point and settings first, then the oracle's choice.

    Args:
        trials: Runs them, each from the same trained head.
        space: The values they may have.
        search: Oracle and budget.
        configured: Name of the configured unfreeze point.
        seed: Seed of the oracle and of the bootstrap.
        journal: What happened so far; None in a worker, whose chief keeps it.

    Returns:
        The outcome of all trials; None in a worker, whose chief knows them.

    Raises:
        UnfreezeError: All trials failed, or another process does not answer.
    """
    role = workers.read_role()
    if role.kind == "worker":
        workers.wait_for_chief(role)
        tuner.search(trials, space, search, seed=seed, journal=None)
        return None
    workers.require_free_port(role)
    first = trials.run(0, configured, {"learning_rate": trials.phase.learning_rate})
    others = tuner.search(trials, space, search, seed=seed, journal=journal)
    return _conclude(trials, [first, *others], seed)


def _conclude(trials: Trials, rows: list[Row], seed: int) -> Outcome:
    """Return the outcome of all trials, the configured point and settings first."""
    name = trials.transfer.backbone.row.name
    scored = [row for row in rows if not row["failed"]]
    if not scored:
        raise UnfreezeError(
            f"{name}: all {len(rows)} trials failed; the first: {rows[0]['failed']}. Change what they have in common "
            f"and remove {trials.folder.parent} to begin anew"
        )
    best = choose_best(scored)
    gain = None
    configured, winner = (trials.load_probabilities(row["trial"]) for row in (rows[0], best))
    if configured is not None and winner is not None:
        gain = measure_gain(configured, winner, trials.transfer.features.plan.val.labels, seed)
    console.log.info(
        "%s: best of %d trials: from %s at %.2g, score %.4f",
        name, len(rows), best["unfreeze_from"], best["settings"]["learning_rate"], best["score"],
    )  # fmt: skip
    return Outcome(rows, best, gain)
