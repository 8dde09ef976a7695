"""The loop: retrain where something changed, judge, propose the result as a branch and a pull request, promote.

Every step can be killed and run again, here or in a new clone: each looks first for what an earlier attempt has left
at the origin, the remote or the registry. Promotion is last, so that the lock of a champion is always kept somewhere.
"""

from dataclasses import dataclass

from unfreeze import dvc_repo, files, git
from unfreeze.ci import preflight, pull_requests, text
from unfreeze.errors import UnfreezeError
from unfreeze.figures import image_grids
from unfreeze.paths import Paths
from unfreeze.records.code_digests import write_digests
from unfreeze.records.judgement_record import Judgement
from unfreeze.release import candidates, exports, promotion
from unfreeze.release.comparability import NotComparable
from unfreeze.runtime.console import log
from unfreeze.settings.params import load

# Digits of the commit in the name of its branch.
DIGITS = 12
MOST_NAMED = 5


@dataclass(frozen=True)
class Plan:
    """What a retraining starts from and where its result goes.

    Args:
        commit: The commit that is retrained.
        branch: The branch of the result; one for each commit and preset.
        target: The branch that the pull request is for.
        results: Patterns of the files that git holds of the result.
    """

    commit: str
    branch: str
    target: str
    results: list[str]

    @classmethod
    def of(cls, paths: Paths, preset: str | None, target: str) -> "Plan":
        """Return the plan for the commit of a checkout."""
        commit = git.require_commit(paths.root)
        branch = f"retrain/{commit[:DIGITS]}" + (f"-{preset}" if preset else "")
        own = [paths.dvc_lock, paths.flips_picture, *([paths.params] if preset else [])]
        # DVC adds to these what git shall not hold.
        names = [str(path.relative_to(paths.root)) for path in own] + ["**/.gitignore"]
        names.append(f"{paths.test_evaluations.relative_to(paths.root)}/**")
        return cls(commit, branch, target, [*names, *dvc_repo.list_outputs_in_git(paths.root)])


def verify(paths: Paths) -> None:
    """Log that dvc.lock belongs to the code, the parameters and the data of the checkout.

    Raises:
        UnfreezeError: It does not.
    """
    dvc_repo.require_lock(paths)
    write_digests(paths)
    if stages := dvc_repo.list_stages_to_run(paths.root):
        raise UnfreezeError(
            f"dvc.lock does not match, {_describe_some(stages)} would run: `make repro` and commit what it changes, "
            "or let `unfreeze ci retrain` do so"
        )
    log.info("dvc.lock matches: nothing would run")


def retrain(
    paths: Paths, *, preset: str | None = None, target: str = "main", export: str | None = None
) -> Judgement | None:
    """Bring a commit's results up to date, and propose and promote them.

    Args:
        paths: A clean checkout of the commit; an earlier attempt's results may lie in it.
        preset: A file in conf/study to compose params.yaml from; params.yaml stays as it is without one.
        target: The branch that the pull request is for.
        export: The exported format in which the best model is judged; the packed model by default.

    Returns:
        The judgement; None where there was nothing to judge, or nothing to compare with.

    Raises:
        UnfreezeError: A step failed; nothing is promoted, and the next run goes on.
    """
    _log_step("preflight", "the work tree, the lock, MLflow, the remote and origin")
    dvc_repo.require_lock(paths)
    plan = Plan.of(paths, preset, target)
    own_text = str(paths.pull_request.relative_to(paths.root))
    remote = preflight.require(paths, may_differ=[*plan.results, own_text])
    earlier = _find_earlier(paths, plan)
    if preset:
        _log_step("preset", f"params.yaml from conf/ with study={preset}")
        compose_preset(paths, preset)
        # Another study writes other files.
        plan = Plan.of(paths, preset, target)
    if earlier:
        git.restore_files(paths.root, earlier)
    _bring_up_to_date(paths, remote, is_taken_over=earlier is not None)
    is_new = git.write_tree(paths.root, plan.results) != git.find_tree(paths.root, plan.commit)
    if not is_new and not _can_be_judged(paths, plan):
        return None
    _sync(paths)
    if export:
        _export(paths, export)
    judgement, summary = _judge(paths, export)
    if earlier and judgement and _is_champion(judgement):
        log.info("nothing left to do: an earlier attempt has proposed and promoted this")
        return judgement
    if is_new:
        _propose(paths, plan, remote, earlier, judgement, summary)
    if judgement and judgement.verdict == "promote":
        _log_step("promote", f"version {judgement.challenger.version}")
        promotion.apply(load(paths.params), paths, judgement)
    return judgement


def _can_be_judged(paths: Paths, plan: Plan) -> bool:
    """Tell whether the models of a commit whose results are up to date are here."""
    log.info("nothing to retrain: dvc.lock matches commit %s", plan.commit[:DIGITS])
    if dvc_repo.is_complete(paths.root):
        return True
    log.info("its models are neither here nor in a remote, so there is nothing to judge")
    return False


def _bring_up_to_date(paths: Paths, remote: str | None, *, is_taken_over: bool) -> None:
    """Run the stages that changed, on what the remote or the cache has of the others."""
    _log_step("verify", "what would run")
    write_digests(paths)
    stages = dvc_repo.list_stages_to_run(paths.root)
    log.info("%s", f"would run: {_describe_some(stages)}, and what follows" if stages else "nothing would run")
    _log_step(
        "pull", f"from remote {remote}" if remote else "no DVC remote is set: what the cache holds is all there is"
    )
    dvc_repo.pull(paths.root) if remote else dvc_repo.checkout(paths.root)
    # Without a remote the models of an earlier attempt may be gone while its branch is there.
    if stages or (is_taken_over and not dvc_repo.is_complete(paths.root)):
        _log_step("repro", "the stages that changed")
        dvc_repo.reproduce(paths.root)


def _propose(
    paths: Paths, plan: Plan, remote: str | None, earlier: str | None, judgement: Judgement | None, summary: str
) -> None:
    """Keep the results where others find them: the models in the remote, the rest on a branch with a pull request."""
    if remote:
        _log_step("push", f"to remote {remote}")
        dvc_repo.push(paths.root)
    _log_step("branch", plan.branch)
    shown = judgement.flips if judgement else ()
    image_grids.draw_flips(shown, paths, max_pixels=load(paths.params).checks.limits.max_pixels)
    tree = git.write_tree(paths.root, plan.results)
    commit = earlier
    if earlier is None or tree != git.find_tree(paths.root, earlier):
        commit = git.create_commit(paths.root, tree, f"Retrain {plan.commit[:DIGITS]}\n\n{summary}")
        git.push(paths.root, commit, plan.branch, expected=earlier)
    assert commit is not None
    _log_step("pull request", f"{plan.branch} into {plan.target}")
    before = (
        git.read_file(paths.root, plan.commit, str(path.relative_to(paths.root)))
        for path in (paths.verdict, paths.report_json)
    )
    changes = text.Changes.read(paths, *before)
    service = pull_requests.Service.here()
    picture = (
        service.build_address(commit, paths.flips_picture.relative_to(paths.root))
        if service
        else paths.flips_picture.name
    )
    body = text.write_body(changes, judgement, summary, picture=picture)
    title = text.write_title(plan.commit[:DIGITS], judgement)
    if service:
        log.info("%s", service.propose(plan.branch, plan.target, title, body))
        return
    files.write_text(paths.pull_request, f"# {title}\n\n{body}")
    log.info(
        "no pull request: GITHUB_API_URL, GITHUB_REPOSITORY and GITHUB_TOKEN are not all set. Its text is in %s",
        paths.pull_request.relative_to(paths.root),
    )


def _find_earlier(paths: Paths, plan: Plan) -> str | None:
    """Return the commit with which an earlier attempt has got as far as its branch.

    Raises:
        UnfreezeError: The branch holds what no attempt has made.
    """
    commit = git.fetch_tip(paths.root, plan.branch)
    if commit and not git.is_child(paths.root, commit, plan.commit):
        raise UnfreezeError(
            f"branch {plan.branch} of origin holds commits of others, which would be lost: merge or delete it"
        )
    return commit


def compose_preset(paths: Paths, preset: str) -> None:
    """Write params.yaml as `dvc exp run -S study=PRESET` does.

    Args:
        paths: The checkout.
        preset: Name of a file in conf/study.

    Raises:
        UnfreezeError: There is no such file.
    """
    known = sorted(path.stem for path in (paths.conf / "study").glob("*.yaml"))
    if preset not in known:
        raise UnfreezeError(f"there is no preset {preset!r} in conf/study: take one of {', '.join(known)}")
    dvc_repo.compose_params(paths, f"study={preset}")


def _sync(paths: Paths) -> None:
    from unfreeze.tracking.ledger import Ledger

    _log_step("sync", "the runs to MLflow")
    params = load(paths.params)
    Ledger(paths, params.tracking.experiment).sync(list(params.study.backbones))


def _export(paths: Paths, name: str) -> None:
    _log_step("export", f"the best model as {name}")
    exports.ensure_export(load(paths.params), paths, candidates.choose_backbone(paths, None), name)


def _judge(paths: Paths, export: str | None) -> tuple[Judgement | None, str]:
    """Return the judgement, and it or the reason why there is none in a sentence."""
    _log_step("judge", "the best model against the champion")
    try:
        judgement = promotion.judge(load(paths.params), paths, export=export)
    except NotComparable as error:
        log.warning("not judged: %s", error)
        return None, f"Not judged: {error}"
    log.info("%s", judgement.text)
    return judgement, judgement.text


def _is_champion(judgement: Judgement) -> bool:
    return judgement.champion is not None and judgement.champion.version == judgement.challenger.version


def _describe_some(stages: list[str]) -> str:
    return ", ".join(stages[:MOST_NAMED]) + (f" and {len(stages) - MOST_NAMED} more" if stages[MOST_NAMED:] else "")


def _log_step(name: str, what: str) -> None:
    log.info("step %s: %s", name, what)
