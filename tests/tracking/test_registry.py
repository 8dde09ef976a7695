"""The registry in real stores: versions, aliases that follow the log, races, and processes killed at every call."""

import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tests.tracking import registered
from tests.tracking.empty_store import put_empty_store
from tests.tracking.registered import MODEL, register, registry
from unfreeze.errors import UnfreezeError
from unfreeze.tracking.registry import Registry
from unfreeze.tracking.transitions import Transition, list_champions

ROUNDS = 12
# Its children start with MLflow imported, and share no connection with the test.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["__main__", "tests.tracking.registered", "mlflow.store.tracking.sqlalchemy_store"])


@pytest.fixture
def where(tmp_path: Path) -> Registry:
    put_empty_store(tmp_path / "mlflow.db")
    return registry(tmp_path)


def aliases(where: Registry) -> dict[str, int]:
    """Return what a service that loads `models:/unfreeze@champion` would see."""
    found = where.server.client.get_registered_model(MODEL).aliases
    return {name: int(version) for name, version in found.items()}


def first_champion(where: Registry) -> None:
    version = register(where, "first")
    where.promote(version.number, expected=None, reason="first champion")


def test_equal_bytes_and_data_are_one_version(where: Registry) -> None:
    first = register(where, "a")
    assert register(where, "a").number == first.number
    assert register(where, "b").number == 2
    assert register(where, "a", data="d2").number == 3
    assert [version.number for version in where.list_versions()] == [3, 2, 1]
    assert where.list_versions()[-1].tags["backbone"] == "a"


def test_two_that_registered_the_same_at_once_end_with_one_version(where: Registry) -> None:
    first = register(where, "a")
    where.server.client.create_model_version(MODEL, first.source, first.run_id, tags=dict(first.tags))
    assert len(where.list_versions()) == 2
    assert register(where, "a").number == 1
    assert [version.number for version in where.list_versions()] == [1]


def test_an_empty_registry_has_no_champion(where: Registry) -> None:
    assert where.find_champion() is None
    assert where.list_versions() == []
    assert where.list_transitions() == []


def test_promotions_move_the_alias_and_are_recorded(where: Registry) -> None:
    first_champion(where)
    second = register(where, "second")
    where.challenge(second.number)
    assert aliases(where) == {"champion": 1, "challenger": 2}
    where.promote(2, expected=1, reason="it is better by +5.0 points", judgement="run-7")
    assert aliases(where) == {"champion": 2}
    moves = where.list_transitions()
    assert [(move.before, move.to, move.reason, move.judgement) for move in moves] == [
        (None, 1, "first champion", None),
        (1, 2, "it is better by +5.0 points", "run-7"),
    ]
    # A second time it is the champion already.
    assert where.promote(2, expected=1, reason="again") is None
    assert where.list_transitions() == moves


def test_a_promotion_against_a_champion_that_was_replaced_is_refused(where: Registry) -> None:
    first_champion(where)
    register(where, "second")
    register(where, "third")
    where.promote(2, expected=1, reason="better")
    with pytest.raises(UnfreezeError, match="another promotion won: version 2 is champion now; run again"):
        where.promote(3, expected=1, reason="better")
    assert aliases(where) == {"champion": 2}


def test_rollback_returns_to_the_version_before_and_again_to_the_one_before_that(where: Registry) -> None:
    first_champion(where)
    for number, name in ((2, "second"), (3, "third")):
        register(where, name)
        where.promote(number, expected=number - 1, reason="better")
    where.rollback("it fails on snow")
    assert aliases(where) == {"champion": 2}
    where.rollback("that one too")
    assert aliases(where) == {"champion": 1}
    with pytest.raises(UnfreezeError, match="version 1 is the first champion.*nothing to go back to"):
        where.rollback("more")
    assert [move.kind for move in where.list_transitions()] == ["promotion"] * 3 + ["rollback"] * 2


def test_after_a_rollback_the_next_rollback_skips_what_was_rolled_back() -> None:
    moves: list[Transition] = []
    for kind, to in (("promotion", 1), ("promotion", 2), ("rollback", 1), ("promotion", 3)):
        moves.append(Transition.after(moves, kind, to, reason=""))  # type: ignore[arg-type]
    assert list_champions(moves) == [1, 3]


def test_an_alias_that_someone_moved_by_hand_follows_the_log_again(where: Registry) -> None:
    first_champion(where)
    register(where, "second")
    where.server.client.set_registered_model_alias(MODEL, "champion", "2")
    champion = where.find_champion()
    assert champion is not None
    assert champion.number == 1
    assert aliases(where) == {"champion": 1}


def test_a_champion_that_was_deleted_leaves_none_and_another_can_be_promoted(where: Registry) -> None:
    first_champion(where)
    where.server.client.delete_model_version(MODEL, "1")
    assert where.find_champion() is None
    version = register(where, "second")
    where.promote(version.number, expected=None, reason="forced: version 1 was deleted")
    assert aliases(where) == {"champion": version.number}


def test_a_model_that_others_made_is_left_alone(where: Registry) -> None:
    where.server.client.create_registered_model(MODEL)
    with pytest.raises(UnfreezeError, match=r"was not made by this project: set promote\.model"):
        register(where, "first")


def test_a_file_that_was_replaced_in_the_registry_is_not_the_champion(where: Registry, tmp_path: Path) -> None:
    version = register(where, "first")
    assert where.download(version, tmp_path / "out").read_text() == "first"
    stored = Path(version.source.removeprefix("file://")) / "data/model.keras"
    stored.write_text("other")
    with pytest.raises(UnfreezeError, match="the file of version 1 .* is not the one that was registered"):
        where.download(version, tmp_path / "again")


def test_a_secret_in_a_reason_is_not_recorded(where: Registry) -> None:
    register(where, "first")
    where.promote(1, expected=None, reason="see https://me:hunter2@example.org/x")
    assert "hunter2" not in where.list_transitions()[0].reason


@pytest.mark.parametrize("reason", ["\x01" * 3000, "snow \N{SNOWFLAKE} 🙂\n" * 900], ids=["control", "emoji"])
def test_a_reason_of_any_length_and_letters_leaves_a_log_that_can_be_read(where: Registry, reason: str) -> None:
    register(where, "first")
    where.promote(1, expected=None, reason=reason)
    (move,) = where.list_transitions()
    assert reason.startswith(move.reason[:4])
    assert where.find_champion() is not None


def contested(root: Path, address: str) -> None:
    """Let two processes promote different versions at once, round after round, and see that one wins each."""
    where = registry(root)
    first_champion(where)
    register(where, "second")
    register(where, "third")
    barrier, results = PROCESSES.Barrier(2), PROCESSES.Queue()
    both = [
        PROCESSES.Process(target=registered.contest, args=(root, address, place, ROUNDS, barrier, results))
        for place in (0, 1)
    ]
    for one in both:
        one.start()
    ended = [results.get(timeout=120) for _ in range(2 * ROUNDS)]
    for one in both:
        one.join(60)
    won = [version for version, result in ended if result == "won"]
    lost = [result for _, result in ended if result != "won"]
    assert len(won) == ROUNDS
    assert all("another promotion won: version" in told for told in lost), lost
    assert [move.to for move in where.list_transitions()[1:]] == won
    champion = where.find_champion()
    assert champion is not None
    assert aliases(where)["champion"] == champion.number == won[-1]


def test_of_two_promotions_at_once_exactly_one_wins_in_sqlite(tmp_path: Path) -> None:
    contested(tmp_path, "")


def test_of_two_promotions_at_once_exactly_one_wins_on_a_server(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    contested(tmp_path, server)


def test_a_registration_killed_before_any_call_is_completed_by_the_next(tmp_path: Path) -> None:
    def prepare(where: Registry) -> None:
        _ = where.server.experiment_id

    def check(where: Registry) -> None:
        assert register(where, "first").number == 1
        assert [version.number for version in where.list_versions()] == [1]
        first_champion(where)
        assert aliases(where) == {"champion": 1}

    assert killed_at_each_call(tmp_path, "register", prepare, check) > 5


def test_a_promotion_killed_before_any_call_is_completed_by_the_next_command(tmp_path: Path) -> None:
    def prepare(where: Registry) -> None:
        first_champion(where)
        register(where, "second")
        where.challenge(2)

    def check(where: Registry) -> None:
        champion = where.find_champion()
        assert champion is not None
        assert aliases(where)["champion"] == where.list_transitions()[-1].to == champion.number
        if champion.number == 1:
            where.promote(2, expected=1, reason="better")
        assert aliases(where) == {"champion": 2}
        assert [move.to for move in where.list_transitions()] == [1, 2]

    assert killed_at_each_call(tmp_path, "promote", prepare, check) > 5


def test_a_rollback_killed_before_any_call_goes_back_one_version_and_no_further(tmp_path: Path) -> None:
    def prepare(where: Registry) -> None:
        first_champion(where)
        for number, name in ((2, "second"), (3, "third")):
            register(where, name)
            where.promote(number, expected=number - 1, reason="better")

    def check(where: Registry) -> None:
        if aliases(where)["champion"] == 3:
            where.rollback("it fails on snow")
        assert aliases(where) == {"champion": 2}
        assert [move.to for move in where.list_transitions()] == [1, 2, 3, 2]

    assert killed_at_each_call(tmp_path, "rollback", prepare, check) > 5


def killed_at_each_call(
    root: Path, action: str, prepare: Callable[[Registry], Any], check: Callable[[Registry], Any]
) -> int:
    """Kill a process before its first call, its second, ... until it ends well; check each time what comes of it.

    Returns:
        How many calls it makes.
    """
    database, kept = root / "mlflow.db", root / "kept.db"
    put_empty_store(database)
    prepare(registry(root))
    shutil.copy(database, kept)
    for calls in range(60):
        shutil.copy(kept, database)
        process = PROCESSES.Process(target=registered.act, args=(root, action, calls))
        process.start()
        process.join(60)
        assert process.exitcode in (0, -9), f"after {calls} calls: status {process.exitcode}"
        check(registry(root))
        if process.exitcode == 0:
            return calls
    raise AssertionError("it makes more calls than it should")


def test_the_registry_works_on_a_server(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    where = registry(tmp_path)
    first_champion(where)
    second = register(where, "second")
    where.promote(2, expected=1, reason="better")
    assert where.download(second, tmp_path / "out").read_text() == "second"
    loaded = mlflow.MlflowClient(server).get_model_version_by_alias(MODEL, "champion")
    assert int(loaded.version) == 2
    where.rollback("it fails on snow")
    assert aliases(where) == {"champion": 1}
