"""Packed models in MLflow's registry, and the copies of them that are kept here."""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records.record import Record
from unfreeze.serving.classifier import WEIGHTS, read_model
from unfreeze.serving.locate import REGISTERED, Located
from unfreeze.tracking import keys
from unfreeze.tracking.registry import Registry, Version
from unfreeze.tracking.server import Server, StoreFailure

# A name of dots alone would be another folder.
URI = re.compile(rf"{REGISTERED}(?P<name>[^/:@]*[^/:@.][^/:@]*)(?:@(?P<alias>[^/:@]+)|/(?P<version>[0-9]+))")
MOST_NAMED = 10


class Kept(Record):
    """Which versions of a registered model are kept in a checkout.

    Args:
        registry: Where they were fetched from; numbers and aliases of another registry mean other models.
        aliases: The version that each alias named when it was last asked for.
        packages: Digest of each version's package.
    """

    registry: str
    aliases: dict[str, int] = {}
    packages: dict[int, str] = {}


class Shelf:
    """The kept packages of one registered model.

    Args:
        folder: Where they are, one folder a version.
        registry: The registry that is asked now.
    """

    def __init__(self, folder: Path, registry: str) -> None:
        self.folder = folder
        self.registry = registry
        self._file = folder / "kept.json"

    def read(self) -> Kept:
        """Return what is kept of this registry's versions."""
        nothing = Kept(registry=self.registry)
        try:
            kept = Kept.read(self._file) if self._file.exists() else nothing
        except UnfreezeError:
            # It can all be fetched again.
            return nothing
        return kept if kept.registry == self.registry else nothing

    def find(self, number: int) -> Path | None:
        """Return a version's package, if it is kept."""
        folder = self.folder / str(number)
        return folder if number in self.read().packages and folder.is_dir() else None

    def put(self, registry: Registry, version: Version) -> Path:
        """Return a version's package, downloaded unless it is kept.

        Args:
            registry: Where to download it from.
            version: The version.

        Raises:
            UnfreezeError: The version has no package, or it is damaged.
        """
        digest, folder = version.tags.get(keys.PACKAGE_SHA256), self.folder / str(version.number)
        with self._locked():
            kept = self.read()
            if digest is not None and folder.is_dir() and kept.packages.get(version.number) == digest:
                return folder
            with files.scratch(self.folder / ".partial") as scratch:
                found = registry.download_package(version, scratch)
                require_whole(found, version, registry.model)
                files.remove(folder)
                found.rename(folder)
            self._write(kept, packages={**kept.packages, version.number: digest})
        return folder

    def remember(self, alias: str, number: int) -> None:
        """Note which version an alias names."""
        with self._locked():
            kept = self.read()
            if kept.aliases.get(alias) != number:
                self._write(kept, aliases={**kept.aliases, alias: number})

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from changing what is kept while the block runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _write(self, kept: Kept, **changed: object) -> None:
        kept.model_copy(update=changed).write(self._file)


def fetch(paths: Paths, uri: str) -> Located:
    """Return the package of a registered version, fetched unless this checkout keeps it already.

    The registry is asked each time, since an alias moves. Where it cannot be asked the kept copy serves, and the note
    says so.

    Args:
        paths: The checkout.
        uri: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Returns:
        The package, whose name is `models:/NAME/VERSION`.

    Raises:
        UnfreezeError: There is no such version, or the registry is down and no copy is kept.
    """
    wanted = URI.fullmatch(uri)
    if wanted is None:
        raise UnfreezeError(f"{uri} names no registered model: expected {REGISTERED}NAME@ALIAS or {REGISTERED}NAME/3")
    name, alias, number = wanted["name"], wanted["alias"], wanted["version"]
    # The experiment has no part in it.
    server = Server(paths, "")
    registry, shelf = Registry(server, name), Shelf(paths.registered(name), server.shown_uri)
    try:
        with server.in_one_line():
            version = choose(registry, alias=alias, number=int(number) if number else None)
            folder = shelf.put(registry, version)
        if alias:
            shelf.remember(alias, version.number)
        return _locate(folder, name, version.number)
    except StoreFailure as failure:
        known = int(number) if number else shelf.read().aliases.get(alias)
        kept = shelf.find(known) if known is not None else None
        if known is None or kept is None:
            raise UnfreezeError(f"{failure}; no copy of {uri} is kept here") from failure
        return _locate(kept, name, known, f"{failure}; the kept copy of version {known} answers for {uri}")


def choose(registry: Registry, *, alias: str | None, number: int | None) -> Version:
    """Return the version that an alias or a number names.

    Args:
        registry: The registered model.
        alias: The alias; None if the number is given.
        number: The version's number; None if the alias is given.

    Raises:
        UnfreezeError: There is none; the line names those that exist.
    """
    versions = registry.list_versions()
    for version in versions:
        if version.number == number or (alias is not None and alias in version.aliases):
            return version
    if not versions:
        models = [model.name for model in registry.server.client.search_registered_models(max_results=MOST_NAMED)]
        raise UnfreezeError(
            f"{registry.server.shown_uri} has no versions of a model {registry.model!r}: it has "
            f"{', '.join(models) or 'no models'}; `unfreeze promote` registers the study's best model"
        )
    aliases = [f"{name} (version {version.number})" for version in versions for name in version.aliases]
    if alias is not None:
        raise UnfreezeError(
            f"model {registry.model!r} has no alias {alias!r}: it has {', '.join(aliases) or 'none'}; "
            "`unfreeze promote` sets champion"
        )
    newest = ", ".join(str(version.number) for version in versions[:MOST_NAMED])
    older = f" and {len(versions) - MOST_NAMED} older ones" if len(versions) > MOST_NAMED else ""
    raise UnfreezeError(f"model {registry.model!r} has no version {number}: it has {newest}{older}")


def require_whole(folder: Path, version: Version, model: str) -> None:
    """Find out whether a package can be read, and its weights are those that it names.

    Args:
        folder: The package.
        version: Its version, for the error.
        model: Name of the registered model, for the error.

    Raises:
        UnfreezeError: It cannot, or they are others.
    """
    if read_model(folder).network_sha256 != files.hash_file(folder / WEIGHTS):
        raise UnfreezeError(
            f"the package of version {version.number} of model {model!r} holds other weights than its model.json "
            "names: promote another version"
        )


def _locate(folder: Path, name: str, number: int, note: str = "") -> Located:
    return Located(folder, f"{REGISTERED}{name}/{number}", str(number), note)
