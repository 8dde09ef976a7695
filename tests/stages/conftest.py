from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import small_network
from tests.conftest import Checkout, checkout_with_images


@pytest.fixture(scope="session")
def searchable(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Run all stages up to the search over 40 images and two small networks; only the second one learns from them."""
    made = checkout_with_images(
        tmp_path_factory.mktemp("searchable"),
        20,
        "study.backbones=[small,from_scratch]",
        "+weights.small=random",
        "search.enabled.from_scratch=true",
        "search.max_trials=4",
        "search.epochs=2",
        "search.deeper=0",
        "unfreeze.candidates.default=[none,{blocks: 1}]",
    )
    small_network.describe(made)
    made.run("dvc", "repro", "search")
    made.commit()
    return made


@pytest.fixture(scope="module")
def nodes(searchable: Checkout, start_nodes: Callable[..., Any]) -> Iterator[Any]:
    """Run a cluster on the code of `searchable`; each test says how many nodes it has."""
    with start_nodes(0, checkout=searchable.root) as cluster:
        yield cluster
