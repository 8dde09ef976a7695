"""Where the work of a stage is divided among machines."""

from typing import Literal

from pydantic import Field

from unfreeze.settings.base import Section


class Cluster(Section):
    """Who computes the rows of stages that can be divided, and how many lie in a file.

    Args:
        engine: `local`: this machine; `ray`: the cluster that RAY_ADDRESS names.
        storage: Folder, or address of fsspec, of finished shards; null for a folder of this checkout.
        rows_per_shard: Most rows of a shard; the results do not depend on it.
        cpus_per_worker: Processors of each of Ray's workers.
        tries: Workers on which a shard may fail before the stage ends.
        max_file_gb: Most rows of images or activations in a file, GB of 10^9 bytes; more are put into shard files.
    """

    engine: Literal["local", "ray"]
    storage: str | None
    rows_per_shard: int = Field(ge=1)
    cpus_per_worker: int = Field(ge=1)
    tries: int = Field(ge=1)
    max_file_gb: float = Field(gt=0)
