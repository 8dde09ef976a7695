"""Addresses in the checkout's SQLite store after the checkout was moved or copied.

MLflow writes absolute addresses into its database. Without a server that stands before the files there is no relative
form that its clients and pages resolve, so the addresses are rewritten when the folder has changed.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths

# Columns of MLflow's tables that hold addresses of files; an older schema lacks some.
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
SECONDS_TO_WAIT = 20


def follow_checkout(paths: Paths) -> None:
    """Rewrite the addresses of files that moved with the database, in one transaction; others stay as they are.

    Args:
        paths: The checkout with the database.

    Raises:
        UnfreezeError: The database cannot be read or written.
    """
    here = paths.ledger_root.as_uri()
    try:
        with closing(sqlite3.connect(paths.mlflow_database, timeout=SECONDS_TO_WAIT)) as database, database:
            columns = [column for column in COLUMNS if _has_column(database, *column)]
            for root in _list_former_roots(database, columns, paths.mlflow_artifacts.name):
                if root != here and _has_come_along(database, columns, root, here):
                    _rewrite(database, columns, root, here)
    except sqlite3.Error as error:
        raise UnfreezeError(
            f"{paths.mlflow_database} cannot be used ({error}): end what else uses it, or restore it from a backup; "
            "keep the file, it holds the registered models"
        ) from error


def find_path(address: str) -> Path | None:
    """Return the folder of a `file:` address; None for another scheme."""
    parts = urlsplit(address)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _list_former_roots(database: sqlite3.Connection, columns: list[tuple[str, str]], folder: str) -> list[str]:
    """Return the addresses of the checkouts in which the experiments were made.

    Args:
        database: The store.
        columns: The columns that it has.
        folder: Name of the artifacts' folder in a checkout.
    """
    if COLUMNS[0] not in columns:
        return []
    found = database.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    suffix = f"/{folder}"
    return [where.removesuffix(suffix) for (where,) in found if where and find_path(where) and where.endswith(suffix)]


def _has_come_along(database: sqlite3.Connection, columns: list[tuple[str, str]], root: str, here: str) -> bool:
    """Tell whether the files below a folder are here now: they are gone there, or were copied.

    Another checkout may keep its runs in this database and its files in its own folder.
    """
    known = list(_list_addresses(database, columns, root))
    if any(_is_there(here + address.removeprefix(root)) for address in known):
        return True
    return not any(map(_is_there, known))


def _list_addresses(database: sqlite3.Connection, columns: list[tuple[str, str]], root: str) -> Iterator[str]:
    """Yield the addresses of all runs and models below a folder."""
    for table, column in columns:
        if table != "experiments":
            query = f"SELECT {column} FROM {table} WHERE substr({column}, 1, ?) = ?"  # noqa: S608
            yield from (address for (address,) in database.execute(query, (len(root) + 1, f"{root}/")))


def _rewrite(database: sqlite3.Connection, columns: list[tuple[str, str]], root: str, here: str) -> None:
    for table, column in columns:
        change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"  # noqa: S608
        database.execute(change, (here, len(root) + 1, len(root) + 1, f"{root}/"))


def _has_column(database: sqlite3.Connection, table: str, column: str) -> bool:
    return column in {name for (name,) in database.execute("SELECT name FROM pragma_table_info(?)", (table,))}


def _is_there(address: str) -> bool:
    path = find_path(address)
    return path is not None and path.exists()
