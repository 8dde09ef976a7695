"""params.yaml as frozen, typed models: its one reader. Unknown keys are refused.

The reason for each value stands beside it in `conf/`, from which params.yaml is composed.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, create_model, model_validator

from unfreeze.errors import UnfreezeError
from unfreeze.runtime.plugins import load_entries
from unfreeze.settings.base import ByBackbone, PixelScaling, Section
from unfreeze.settings.checks import Checks, build_checks_model
from unfreeze.settings.cluster import Cluster
from unfreeze.settings.images import Augment, Preprocess, Split
from unfreeze.settings.reading import read_yaml
from unfreeze.settings.sources import DataSource, WeightsSource
from unfreeze.settings.study import Best, Evaluate, Export, Promote, Serve, Study, Tracking
from unfreeze.settings.training import Extract, Head, Search, Train, Unfreeze


class Params(Section):
    """All of params.yaml.

    Args:
        seed: Seed of the split, the initial weights, the order of images, the search and the resampling of scores.
        pixels: `native` feeds every pretrained network as it was trained; `unit` feeds all of them 1/255.
    """

    seed: int = Field(ge=0, lt=2**31)
    pixels: PixelScaling
    data: DataSource
    checks: Checks
    preprocess: Preprocess
    split: Split
    weights: ByBackbone[WeightsSource]
    augment: Augment
    extract: Extract
    unfreeze: Unfreeze
    head: Head
    train: Train
    search: Search
    serve: Serve
    export: Export
    evaluate: Evaluate
    study: Study
    best: Best | None = None
    cluster: Cluster
    tracking: Tracking
    promote: Promote

    @model_validator(mode="after")
    def _seeds_differ(self) -> "Params":
        seeds = (self.seed, *self.study.seeds)
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"seed {self.seed} and study.seeds {list(self.study.seeds)} hold a seed twice")
        return self

    @model_validator(mode="after")
    def _views_are_stored(self) -> "Params":
        phases = [*self.train.head.root.values(), *self.train.finetune.root.values()]
        wanted = max([phase.views or 1 for phase in phases] + list(self.search.views or ()))
        if wanted > self.augment.views:
            raise ValueError(
                f"views {wanted} in train or search is more than augment.views {self.augment.views}: "
                f"set augment.views={wanted}"
            )
        return self


def load(path: Path) -> Params:
    """Read and check params.yaml.

    Args:
        path: The file.

    Returns:
        The parameters.

    Raises:
        UnfreezeError: The file is missing, is no YAML, or holds unknown keys or values out of range.
    """
    if not path.exists():
        raise UnfreezeError(
            f"{path} is missing: run from the folder that holds dvc.yaml, or `git checkout {path.name}`"
        )
    # By name, since checks build on settings: their files declare their defaults.
    load_entries("image_checks", "unfreeze.checks.image_checks")
    checks: dict[str, Any] = {"checks": (build_checks_model(), ...)}
    model = create_model("Params", __base__=Params, **checks)
    return read_yaml(path, model, remedy="The settings and their reasons are in conf/.")


def resolve_settings(values: dict[str, Any], backbone: str) -> dict[str, Any]:
    """Return parameters by dotted name, with each exception resolved for a backbone.

    Args:
        values: Parameters as they stand in params.yaml.
        backbone: The backbone.
    """
    flat: dict[str, Any] = {}

    def flatten(prefix: str, value: Any) -> None:
        if not isinstance(value, dict):
            flat[prefix] = value
        elif "default" in value:
            chosen, default = value.get(backbone, value["default"]), value["default"]
            flatten(
                prefix, {**default, **chosen} if isinstance(chosen, dict) and isinstance(default, dict) else chosen
            )
        else:
            for key, item in value.items():
                flatten(f"{prefix}.{key}" if prefix else key, item)

    flatten("", values)
    return flat
