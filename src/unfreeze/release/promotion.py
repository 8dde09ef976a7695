"""Judge a challenger against the champion, and move the alias `champion` when the verdict, or a person, says so."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records.judgement_record import Judgement, Promotion
from unfreeze.release import candidates, checkout, exports, judgement
from unfreeze.release.bout import Bout
from unfreeze.release.comparability import NotComparable
from unfreeze.runtime.console import log
from unfreeze.settings.params import Params
from unfreeze.tracking import judgements, keys
from unfreeze.tracking.registry import Registry
from unfreeze.tracking.server import Server
from unfreeze.tracking.transitions import describe_transitions

__all__ = ["NotComparable", "apply", "judge", "list_versions", "promote", "rollback"]


def judge(params: Params, paths: Paths, backbone: str | None = None, *, export: str | None = None) -> Judgement:
    """Register a backbone as the challenger, and judge it against the champion on the current test fold.

    Both models are scored again, in one process. A verdict on the same bytes, champion, test fold and terms is not
    asked for twice: the recorded one is returned, and nothing looks at the test fold again.

    Args:
        params: All of params.yaml.
        paths: The checkout.
        backbone: The challenger; the study's best by default.
        export: The exported format that is judged; the packed model by default.

    Returns:
        The judgement. Where the challenger is the champion already nothing is scored: `difference` and `run_id` are
        None.

    Raises:
        NotComparable: There is no champion, it knows other classes, or it has seen the test fold.
        UnfreezeError: The lock does not match, or the store cannot be used.
    """
    checkout.require_matching_lock(paths)
    with _enter_bout(params, paths, backbone, export) as bout, bout.registry.server.in_one_line():
        return bout.judge()


def promote(
    params: Params,
    paths: Paths,
    backbone: str | None = None,
    *,
    force: str | None = None,
    export: str | None = None,
) -> Promotion:
    """Judge a backbone and make it the champion, if the verdict or a person says so.

    Args:
        params: All of params.yaml.
        paths: The checkout.
        backbone: The challenger; the study's best by default.
        force: A person's reason to promote whatever the verdict is; it is recorded.
        export: The exported format that is judged; the packed model by default.

    Returns:
        The judgement, and what was done about it.

    Raises:
        NotComparable: See `judge`; not if it is forced.
        UnfreezeError: The work tree or the lock is not clean, or another promotion came first.
    """
    if force is not None and not force.strip():
        raise UnfreezeError('--force was given no reason: say why, as in `unfreeze promote --force "first champion"`')
    checkout.require_clean(paths)
    if force is None:
        return apply(params, paths, judge(params, paths, backbone, export=export))
    checkout.require_matching_lock(paths)
    with _enter_bout(params, paths, backbone, export) as bout, bout.registry.server.in_one_line():
        try:
            verdict = bout.judge()
        except NotComparable as error:
            verdict = bout.record_not_comparable(str(error))
        return _describe_move(bout.registry, verdict, f"forced: {force.strip()}")


def apply(params: Params, paths: Paths, found: Judgement) -> Promotion:
    """Make the challenger of a verdict the champion, if that is the verdict; a second time changes nothing.

    A version that was promoted by this verdict and rolled back since stays where it is: a person has decided.

    Args:
        params: All of params.yaml.
        paths: The checkout.
        found: From `judge`.

    Returns:
        The judgement, and what was done about it.

    Raises:
        UnfreezeError: Another promotion came first, or the store cannot be used.
    """
    registry = _open_registry(params, paths)
    registry.server.require()
    with registry.server.in_one_line():
        present = registry.find_champion()
        if found.verdict != judgement.PROMOTE:
            return Promotion(**dict(found), promoted=False, transition=None)
        applied = [one for one in registry.list_transitions() if one.judgement == found.run_id]
        challenger = found.challenger.version
        if applied and (present is None or present.number != challenger):
            outcome = f"version {challenger} was promoted by this verdict before, and is not champion any more"
            log.info("%s: `unfreeze promote --force REASON` promotes it again", outcome)
            return Promotion(**dict(found), promoted=False, transition=None)
        return _describe_move(registry, found, found.text)


def rollback(params: Params, paths: Paths) -> dict[str, Any]:
    """Return to the version that was champion before the present one.

    Args:
        params: All of params.yaml.
        paths: The checkout.

    Returns:
        The transition.

    Raises:
        UnfreezeError: There is no version before, or the store cannot be used.
    """
    registry = _open_registry(params, paths)
    registry.server.require()
    with registry.server.in_one_line():
        return describe_transitions([registry.rollback("rolled back by hand")])[0]


def list_versions(params: Params, paths: Paths) -> list[dict[str, Any]]:
    """Return all versions of the registered model, the newest first.

    Args:
        params: All of params.yaml.
        paths: The checkout.

    Returns:
        One mapping a version: `version`, `aliases`, `backbone`, `format` (an exported one, or None), `verdict` (the
        last one, or None), `temperature`,
        `unsure_below` (a probability) and `unlike_beyond` (a distance) of its package as text (None without one),
        `tags`, and `transitions` that made it the champion.
    """
    registry = _open_registry(params, paths)
    registry.server.require()
    with registry.server.in_one_line():
        registry.find_champion()
        moves = describe_transitions(registry.list_transitions())
        return [
            {
                "version": version.number,
                "aliases": list(version.aliases),
                "backbone": version.tags.get(keys.OF_BACKBONE),
                "format": version.tags.get(keys.FORMAT),
                "verdict": version.tags.get(judgements.VERDICT),
                "temperature": version.tags.get(keys.TEMPERATURE),
                "unsure_below": version.tags.get(keys.UNSURE_BELOW),
                "unlike_beyond": version.tags.get(keys.UNLIKE_BEYOND),
                "tags": dict(version.tags),
                "transitions": [move for move in moves if move["to"] == version.number],
            }
            for version in registry.list_versions()
        ]


def _open_registry(params: Params, paths: Paths) -> Registry:
    return Registry(Server(paths, params.tracking.experiment), params.promote.model)


@contextmanager
def _enter_bout(params: Params, paths: Paths, backbone: str | None, export: str | None) -> Iterator[Bout]:
    """Let a backbone, or one of its exported formats, be the challenger."""
    registry, name = _open_registry(params, paths), candidates.choose_backbone(paths, backbone)
    with exports.open_variant(paths, name, export) if export else nullcontext() as variant:
        version = candidates.register(params, paths, registry, name, variant)
        with registry.server.in_one_line():
            champion = registry.find_champion()
            if champion is None or champion.number != version.number:
                registry.challenge(version.number)
        yield Bout(params, paths, registry, name, version, variant)


def _describe_move(registry: Registry, found: Judgement, reason: str) -> Promotion:
    challenger = found.challenger.version
    expected = found.champion.version if found.champion else None
    transition = registry.promote(challenger, expected=expected, reason=reason, judgement=found.run_id)
    if transition:
        log.info("version %d is champion of model %r now", challenger, registry.model)
    moved = describe_transitions([transition])[0] if transition else None
    return Promotion(**dict(found), promoted=transition is not None, transition=moved)
