"""One challenger against the champion: whether they can be compared, their scores, the verdict and its record."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.records.judgement_record import Judgement, Side
from unfreeze.release import candidates, comparability, judgement, scoring
from unfreeze.settings.params import Params
from unfreeze.tracking import datasets, judgements, keys
from unfreeze.tracking.models import Variant
from unfreeze.tracking.registry import Registry, Version


@dataclass(frozen=True)
class Bout:
    """A backbone of the checkout as the challenger.

    Args:
        params: All of params.yaml.
        paths: The checkout.
        registry: Where the champion is.
        backbone: The backbone.
        version: Its version.
        variant: The exported format that asks; None for the packed model itself.
    """

    params: Params
    paths: Paths
    registry: Registry
    backbone: str
    version: Version
    variant: Variant | None = None

    def judge(self) -> Judgement:
        """Return the verdict, as it was recorded if the same was asked before.

        Raises:
            NotComparable: There is no champion, it knows other classes, or it has seen the test fold.
        """
        champion = comparability.require_champion(self.registry.find_champion(), self.registry.model)
        if champion.number == self.version.number:
            return self._judge_champion()
        test, folds = scoring.Test.read(self.paths), datasets.read_folds_table(self.paths)
        comparability.require_same_classes(champion, test.classes)
        comparability.require_unseen(self.registry.server, champion, folds)
        digest = datasets.hash_folds(folds)["test"]
        key = self._make_key("judged", champion, digest)
        known = judgements.find(self.registry.server, key)
        return known or self._record(key, self._compare(champion, test, digest))

    def record_not_comparable(self, reason: str) -> Judgement:
        """Record that nothing could be compared, with what the study says of the challenger.

        Args:
            reason: Why not.
        """
        champion = self.registry.find_champion()
        digest = datasets.hash_folds(datasets.read_folds_table(self.paths))["test"]
        found = Judgement(
            verdict=judgement.NOT_COMPARABLE,
            reasons=(reason,),
            text=f"{judgement.NOT_COMPARABLE}: {reason}",
            challenger=_make_side(self.version, **self._read_scores()),
            champion=_make_side(champion) if champion else None,
            test_digest=digest,
        )
        return self._record(self._make_key("not judged", champion, digest), found)

    def _compare(self, champion: Version, test: scoring.Test, test_digest: str) -> Judgement:
        with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
            models = {
                "challenger": self._find_own(champion),
                "champion": self._download_champion(champion, Path(folder)),
            }
            sides = scoring.score_models(self.params, self.paths, test, models)
        ours, theirs_said = sides["challenger"], sides["champion"]
        found = judgement.judge(
            test.labels,
            test.classes,
            champion=theirs_said,
            challenger=ours,
            terms=self.params.promote,
            seed=self.params.seed,
        )
        accuracies = [float((side.predicted == test.labels).mean()) for side in (ours, theirs_said)]
        flips = judgement.list_flips(
            test.ids, test.labels, test.classes, champion=theirs_said.predicted, challenger=ours.predicted
        )
        named = _name_formats(self.version, champion)
        return Judgement(
            **{**dict(found), "text": f"{found.verdict}: {named}{'; '.join(found.reasons)}"},
            challenger=_make_side(self.version, accuracies[0], ours.size_mb, ours.latency_ms),
            champion=_make_side(champion, accuracies[1], theirs_said.size_mb, theirs_said.latency_ms),
            flips=tuple(flips),
            test_digest=test_digest,
        )

    def _find_own(self, champion: Version) -> Path:
        """Return what the challenger is scored by: like the champion, unless it is an exported format."""
        if self.variant:
            return self.variant.exported or self.variant.package
        return self.paths.packed(self.backbone) if champion.has_package else self.paths.model(self.backbone)

    def _download_champion(self, champion: Version, folder: Path) -> Path:
        if not champion.has_package:
            return self.registry.download(champion, folder)
        return self.registry.download_export(champion, folder) or self.registry.download_package(champion, folder)

    def _read_scores(self) -> dict[str, float]:
        """Return what the study measured; of an exported format it has measured nothing."""
        return {} if self.variant else candidates.read_scores(self.paths, self.backbone)

    def _judge_champion(self) -> Judgement:
        side = _make_side(self.version, **self._read_scores())
        reason = f"version {self.version.number} is the champion already"
        return Judgement(
            verdict=judgement.KEEP,
            reasons=(reason,),
            text=f"{judgement.KEEP}: {reason}",
            challenger=side,
            champion=side,
            test_digest=self.version.tags[keys.FOLD_DIGEST["test"]],
        )

    def _make_key(self, how: str, champion: Version | None, test_digest: str) -> str:
        against = champion.number if champion else None
        # Without floors the question is that of versions before there were any.
        terms = self.params.promote.model_dump(mode="json", exclude_defaults=True)
        bytes_of = self.version.tags[keys.MODEL_SHA256]
        asked = [how, bytes_of, against, test_digest, terms, self.params.seed]
        return files.digest([*asked, *([self.variant.list_tags()] if self.variant else [])])[:32]

    def _record(self, key: str, found: Judgement) -> Judgement:
        recorded = judgements.record(
            self.registry.server,
            key,
            found,
            params={
                "challenger": self.version.number,
                "champion": found.champion.version if found.champion else "none",
                "test_digest": found.test_digest,
                **self.params.promote.model_dump(mode="json", exclude_defaults=True),
            },
            tags={keys.OF_BACKBONE: self.backbone, keys.FOLD_DIGEST["test"]: found.test_digest},
        )
        verdict = {judgements.VERDICT: found.verdict, judgements.TEXT: found.text}
        self.registry.tag(self.version.number, {**verdict, judgements.RUN: str(recorded.run_id)})
        return recorded


def _make_side(
    version: Version, accuracy: float | None = None, size_mb: float | None = None, latency_ms: float | None = None
) -> Side:
    return Side(
        version=version.number,
        backbone=version.tags[keys.OF_BACKBONE],
        model_sha256=version.tags[keys.MODEL_SHA256],
        size_mb=size_mb,
        latency_ms=latency_ms,
        accuracy=accuracy,
        format=version.tags.get(keys.FORMAT),
    )


def _name_formats(challenger: Version, champion: Version) -> str:
    """Return the beginning of a verdict's text where one of the two is an exported format."""
    ours, theirs = (version.tags.get(keys.FORMAT) for version in (challenger, champion))
    if not ours and not theirs:
        return ""
    return f"{ours or 'the packed model'} against {theirs or 'the packed model'} of version {champion.number}: "
