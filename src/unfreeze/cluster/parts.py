"""A part of the shards, for schedulers that start the same command many times: Slurm's arrays, Kubernetes' jobs."""

from unfreeze.cluster.shards import Work, plan_shards
from unfreeze.cluster.storage import Storage
from unfreeze.runtime import console


def compute_part(work: Work, storage: Storage, rows_per_shard: int, *, index: int, of: int) -> int:
    """Compute every shard of a part that is not finished.

    Args:
        work: The work.
        storage: Where shards are kept.
        rows_per_shard: Most rows of a shard.
        index: Number of the part, from 0.
        of: Number of parts.

    Returns:
        How many shards were computed.
    """
    shards = plan_shards(work, rows_per_shard)[index::of]
    missing = [shard for shard in shards if not storage.holds(shard)]
    compute = work.load_here() if missing else None
    rows = sum(shard.stop - shard.start for shard in missing)
    with console.progress(f"{work.name}, part {index} of {of}", rows) as advance:
        for shard in missing:
            assert compute is not None
            storage.write(shard, compute(shard.start, shard.stop))
            advance(shard.stop - shard.start)
    console.log.info("%s, part %d of %d: %d shards computed, %d were there", work.name, index, of, len(missing),
                     len(shards) - len(missing))  # fmt: skip
    return len(missing)
