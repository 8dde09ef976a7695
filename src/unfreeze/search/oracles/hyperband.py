"""Many trials of few epochs, of which the best third goes on, again and again (Li et al. 2018)."""

import sys
from typing import Any

from unfreeze.settings.oracles import register


@register("hyperband", resumes_trials=True)
def build(epochs: int) -> tuple[Any, dict[str, Any]]:
    """Return KerasTuner's Hyperband, which the budget of the search ends."""
    import keras_tuner

    return keras_tuner.oracles.HyperbandOracle, {"max_epochs": epochs, "hyperband_iterations": sys.maxsize}
