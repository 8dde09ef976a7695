"""Where the work of a stage is divided among machines."""

from typing import Literal

from pydantic import Field

from unfreeze.settings.base import Section


class Cluster(Section):
    """Who computes the rows of stages that can be divided.

    Args:
        engine: `local`: this machine.
        storage: Folder, or address of fsspec, of finished shards; null for a folder of this checkout.
        rows_per_shard: Most rows of a shard; the results do not depend on it.
    """

    engine: Literal["local"]
    storage: str | None
    rows_per_shard: int = Field(ge=1)
