"""The epochs of a training, one row each."""

import pandas as pd

CURVES = ["loss", "accuracy", "val_loss", "val_accuracy"]


def join_phases(phases: list[pd.DataFrame]) -> pd.DataFrame:
    """Return all phases' epochs in one table, with a step number that runs on from phase to phase."""
    history = pd.concat([phase for phase in phases if len(phase)], ignore_index=True)
    history.insert(0, "step", range(1, len(history) + 1))
    return history
