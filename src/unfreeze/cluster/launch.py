"""Who does the work of stages, and where shards are kept, as the settings say."""

from unfreeze.cluster.local import Local
from unfreeze.cluster.shards import Cluster
from unfreeze.cluster.storage import Storage
from unfreeze.paths import Paths
from unfreeze.settings import cluster


def open_storage(settings: cluster.Cluster, paths: Paths) -> Storage:
    """Return where finished shards are kept."""
    return Storage(settings.storage or str(paths.shards))


def make_cluster(settings: cluster.Cluster, paths: Paths) -> Cluster:
    """Return what does the work of stages."""
    storage = open_storage(settings, paths)
    if settings.engine == "ray":
        from unfreeze.cluster.ray_cluster import RayCluster

        return RayCluster(settings, storage)
    return Local(settings, storage)
