"""Fixtures of other rooms that commands are tested with."""

from tests.serving.conftest import packed as packed
