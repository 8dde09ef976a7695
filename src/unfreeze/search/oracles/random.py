"""Trials drawn at random from the whole space."""

from typing import Any

from unfreeze.settings.oracles import register


@register("random")
def build(epochs: int) -> tuple[Any, dict[str, Any]]:
    """Return KerasTuner's random search."""
    import keras_tuner

    return keras_tuner.oracles.RandomSearchOracle, {}
