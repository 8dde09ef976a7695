from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unfreeze.cluster.shards import Work, plan_shards


def compute(start: int, stop: int) -> Iterator[np.ndarray]:
    yield np.arange(start, stop)


def load() -> object:
    return compute


WORK = Work("extract@tiny", {"images": "abc"}, (5, 5, 3), load)


def test_shards_do_not_cross_from_segment_to_segment() -> None:
    assert [(shard.start, shard.stop) for shard in plan_shards(WORK, 4)] == [
        (0, 4),
        (4, 5),
        (5, 9),
        (9, 10),
        (10, 13),
    ]


@given(st.lists(st.integers(0, 30), max_size=4), st.integers(1, 40))
def test_shards_hold_each_row_once_and_in_order(segments: list[int], size: int) -> None:
    shards = plan_shards(replace(WORK, segments=tuple(segments)), size)
    assert [row for shard in shards for row in range(shard.start, shard.stop)] == list(range(sum(segments)))
    assert all(0 < shard.stop - shard.start <= size for shard in shards)


def test_a_shard_has_another_name_where_anything_that_determines_it_differs() -> None:
    others = [
        WORK,
        replace(WORK, name="extract@other"),
        replace(WORK, determined_by={"images": "abd"}),
        replace(WORK, segments=(5, 4, 3)),
    ]
    names = [{shard.id for shard in plan_shards(work, 4)} for work in others]
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    # Rows from 0 to 9 are the same, whatever follows.
    assert len(names[0] & names[3]) == 3
    assert names[0] == {shard.id for shard in plan_shards(replace(WORK, load=list), 4)}
