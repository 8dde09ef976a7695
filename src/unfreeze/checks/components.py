"""Groups of images that pairs link."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def number_components(pairs: np.ndarray, count: int) -> np.ndarray:
    """Number the connected components of a graph.

    Args:
        pairs: Edges, integer array of shape (pairs, 2).
        count: Number of nodes.

    Returns:
        The number of each node's component, int32 array of shape (count,).

    >>> number_components(np.array([[0, 2]]), 3).tolist()
    [0, 1, 0]
    """
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])
