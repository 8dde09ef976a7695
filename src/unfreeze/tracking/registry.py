"""One registered model: its versions, and which of them is champion and which challenger."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime.redaction import redact
from unfreeze.tracking import keys, models
from unfreeze.tracking.pyfunc import PACKED
from unfreeze.tracking.runs import Runs
from unfreeze.tracking.server import Server, iterate_pages
from unfreeze.tracking.transitions import Kind, Transition, Transitions, list_champions

CHAMPION = "champion"
CHALLENGER = "challenger"
# Tag of the registered model: the run that holds the log of its transitions.
LOG = "unfreeze.transitions"
# Kind of that run.
KIND = "transitions"
VERSIONS_A_PAGE = 1000


@dataclass(frozen=True)
class Version:
    """A version of the registered model.

    Args:
        number: Its number.
        tags: Lineage, and its last verdict.
        aliases: champion or challenger, if it is one of them.
        source: Where its files are.
        run_id: The backbone's run.
        time: When it was registered, milliseconds since 1970.
    """

    number: int
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    source: str
    run_id: str
    time: int

    @property
    def has_package(self) -> bool:
        """Whether it was registered with a package; older versions of this project had none."""
        return keys.PACKAGE_SHA256 in self.tags


class Registry:
    """The registered model of a project.

    The alias `champion` follows the log of transitions: whoever comes first after a process that was killed between
    the two completes its work.

    Args:
        server: The store.
        model: The registered model's name.
    """

    def __init__(self, server: Server, model: str) -> None:
        self.server = server
        self.model = model

    def register(self, run_id: str, model_id: str, tags: Mapping[str, str]) -> Version:
        """Return the version of a logged model, made if no version has the same bytes, package and data.

        Args:
            run_id: The backbone's run.
            model_id: Its logged model, whose note describes the version too.
            tags: Lineage; `model_sha256` and `data_sha256` are needed, `package_sha256` where it has a package.
        """
        self._make()
        # Refuses a model that others made, before anything is added to it.
        _ = self._log
        if not self._find_equal(tags):
            logged = self.server.client.get_logged_model(model_id)
            clean = {name: redact(value) for name, value in tags.items()}
            self.server.client.create_model_version(
                self.model,
                logged.artifact_location,
                run_id,
                tags=clean,
                description=logged.tags.get(keys.NOTE),
                model_id=model_id,
                await_creation_for=0,
            )
        first, *copies = self._find_equal(tags)
        # Two that registered at once each made one: both take the first, and nothing refers to the other.
        for copy in copies:
            self.server.client.delete_model_version(self.model, str(copy.number))
        return first

    def tag(self, version: int, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for name, value in tags.items():
            self.server.client.set_model_version_tag(self.model, str(version), name, redact(value))

    def challenge(self, version: int) -> None:
        """Let a version be the challenger."""
        self.server.client.set_registered_model_alias(self.model, CHALLENGER, str(version))

    def find_champion(self) -> Version | None:
        """Return the champion, after completing what a killed process left; None if there is none or it is gone."""
        return self._find_champion(self._settle())

    def list_versions(self) -> list[Version]:
        """Return all versions, the newest first."""
        if self._registered is None:
            return []
        wanted = f"name = '{self.model}'"
        found = iterate_pages(self.server.client.search_model_versions, wanted, max_results=VERSIONS_A_PAGE)
        aliases = self._read_aliases()
        versions = [
            Version(
                number=int(one.version),
                tags=one.tags,
                aliases=tuple(sorted(name for name, number in aliases.items() if number == int(one.version))),
                source=one.source,
                run_id=one.run_id,
                time=one.creation_timestamp,
            )
            for one in found
        ]
        return sorted(versions, key=lambda version: version.number, reverse=True)

    def list_transitions(self) -> list[Transition]:
        """Return all changes of the champion, the first first."""
        return self._log.read() if self._registered is not None else []

    def promote(
        self, version: int, *, expected: int | None, reason: str, judgement: str | None = None
    ) -> Transition | None:
        """Make a version the champion.

        Args:
            version: The version.
            expected: The champion it was judged against; None for none.
            reason: Why.
            judgement: The run that recorded the verdict.

        Returns:
            The transition; None where the version is the champion already.

        Raises:
            UnfreezeError: Another promotion or rollback came first.
        """
        known = self._settle()
        champion = self._find_champion(known)
        present = champion.number if champion else None
        if present == version:
            return None
        if present != expected:
            raise UnfreezeError(_explain_loss(present))
        return self._move(known, "promotion", version, reason, judgement)

    def rollback(self, reason: str) -> Transition:
        """Return to the version that was champion before the present one.

        A rollback that was killed half-way is completed, and none is added to it.

        Raises:
            UnfreezeError: There is no version before, it was deleted, or another transition came first.
        """
        before = self.list_transitions()
        interrupted = bool(before) and before[-1].kind == "rollback" and not self._is_applied(before[-1])
        known = self._settle()
        if interrupted:
            return known[-1]
        stack = list_champions(known)
        if len(stack) < 2:
            there = f"version {stack[0]} is the first champion" if stack else "there is no champion"
            raise UnfreezeError(f"{there} of model {self.model!r}, and none came before: nothing to go back to")
        if stack[-2] not in {version.number for version in self.list_versions()}:
            raise UnfreezeError(
                f"version {stack[-2]}, the champion before, was deleted from model {self.model!r}: "
                "promote another version with `unfreeze promote --force REASON`"
            )
        return self._move(known, "rollback", stack[-2], reason, None)

    def download(self, version: Version, folder: Path) -> Path:
        """Bring a version's `.keras` file here.

        Raises:
            UnfreezeError: It is not there, or not what was registered.
        """
        found = self._download(version, models.FILE, folder)
        if files.hash_file(found) != version.tags[keys.MODEL_SHA256]:
            raise UnfreezeError(self._explain_other(version, "file"))
        return found

    def download_package(self, version: Version, folder: Path) -> Path:
        """Bring a version's package here.

        Args:
            version: The version.
            folder: Where to.

        Raises:
            UnfreezeError: It has none, since an older version of this project registered it, or it is not the one
                that was registered.
        """
        if not version.has_package:
            raise UnfreezeError(
                f"version {version.number} of model {self.model!r} has no package, an older version of unfreeze "
                "registered it: run `dvc repro` on its study, then `unfreeze promote`, which registers it with one"
            )
        found = self._download(version, PACKED, folder)
        if models.hash_package(found) != version.tags[keys.PACKAGE_SHA256]:
            raise UnfreezeError(self._explain_other(version, "package"))
        return found

    def download_export(self, version: Version, folder: Path) -> Path | None:
        """Bring the exported folder here that a version was judged by.

        Args:
            version: The version.
            folder: Where to.

        Returns:
            The exported folder; None where the version's package is what was judged.

        Raises:
            UnfreezeError: It is not the one that was registered.
        """
        if keys.EXPORT_SHA256 not in version.tags:
            return None
        found = self._download(version, models.EXPORTED, folder)
        if models.hash_package(found) != version.tags[keys.EXPORT_SHA256]:
            raise UnfreezeError(self._explain_other(version, "exported folder"))
        return found

    def _download(self, version: Version, name: str, folder: Path) -> Path:
        import mlflow.artifacts

        source = f"{version.source}/{name}"
        with self.server.in_one_line():
            found = mlflow.artifacts.download_artifacts(source, dst_path=str(folder), tracking_uri=self.server.uri)
        return Path(found)

    def _explain_other(self, version: Version, what: str) -> str:
        return (
            f"the {what} of version {version.number} of model {self.model!r} is not the one that was registered: "
            "someone replaced it; `unfreeze rollback`, or promote another with --force REASON"
        )

    def _move(
        self, known: list[Transition], kind: Kind, version: int, reason: str, judgement: str | None
    ) -> Transition:
        wanted = Transition.after(known, kind, version, reason=reason, judgement=judgement)
        claimed = self._log.claim(wanted)
        self._settle()
        if claimed[wanted.number - 1] != wanted:
            raise UnfreezeError(_explain_loss(claimed[-1].to))
        return wanted

    def _settle(self) -> list[Transition]:
        """Set the aliases to what the log says, and return the log."""
        known = self.list_transitions()
        # A transition that came while the alias was set to the one before is seen by the second look.
        while known and not self._is_applied(known[-1]):
            if known[-1].to not in {version.number for version in self.list_versions()}:
                break
            self.server.client.set_registered_model_alias(self.model, CHAMPION, str(known[-1].to))
            known = self.list_transitions()
        aliases = self._read_aliases()
        if CHALLENGER in aliases and aliases[CHALLENGER] == aliases.get(CHAMPION):
            self.server.client.delete_registered_model_alias(self.model, CHALLENGER)
        return known

    def _find_champion(self, known: list[Transition]) -> Version | None:
        return next((version for version in self.list_versions() if known and version.number == known[-1].to), None)

    def _is_applied(self, transition: Transition) -> bool:
        return self._read_aliases().get(CHAMPION) == transition.to

    def _read_aliases(self) -> dict[str, int]:
        found = self._registered
        return {name: int(version) for name, version in found.aliases.items()} if found else {}

    def _find_equal(self, tags: Mapping[str, str]) -> list[Version]:
        """Return the versions with the same bytes, package, data and exported format, the first first."""
        same = (keys.MODEL_SHA256, keys.DATA_SHA256, keys.PACKAGE_SHA256, keys.FORMAT, keys.EXPORT_SHA256)
        found = [
            version
            for version in self.list_versions()
            if all(version.tags.get(name) == tags.get(name) for name in same)
        ]
        return found[::-1]

    @property
    def _registered(self) -> Any:
        """The registered model as the store has it now; None if it was not made yet."""
        from mlflow.exceptions import MlflowException

        try:
            return self.server.client.get_registered_model(self.model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    @functools.cached_property
    def _log(self) -> Transitions:
        run_id = self._registered.tags.get(LOG)
        if run_id is None:
            raise UnfreezeError(
                f"registered model {self.model!r} was not made by this project: set promote.model to another name"
            )
        return Transitions(self.server, run_id)

    def _make(self) -> None:
        """Register the model, with a run for the log; of two that do it at once the first decides on the run."""
        from mlflow.exceptions import MlflowException

        if self._registered is not None:
            return
        run = Runs(self.server, KIND).run(
            files.digest(self.model)[:16], f"promotions of {self.model}", KIND, None, {}
        )
        try:
            self.server.client.create_registered_model(
                self.model,
                tags={LOG: run.id},
                description="Made by `unfreeze promote`. The parameters of the run named in the tag "
                f"`{LOG}` say which version was champion when, and why.",
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _explain_loss(present: int | None) -> str:
    now = "there is no champion" if present is None else f"version {present} is champion"
    return f"another promotion won: {now} now; run again, and the challenger is judged against that"
