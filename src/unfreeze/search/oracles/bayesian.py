"""Trials where a Gaussian process over the finished ones expects the most (Snoek et al. 2012)."""

from typing import Any

from unfreeze.settings.oracles import register


@register("bayesian")
def build(epochs: int) -> tuple[Any, dict[str, Any]]:
    """Return KerasTuner's Bayesian optimisation."""
    import keras_tuner

    return keras_tuner.oracles.BayesianOptimizationOracle, {}
