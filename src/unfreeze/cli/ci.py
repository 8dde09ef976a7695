"""The commands that continuous integration runs."""

import argparse
from pathlib import Path
from typing import Any

from unfreeze import dvc_repo, files, git
from unfreeze.cli.stages import require_own_code
from unfreeze.cli.study import tell
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.runtime import console


def add(commands: Any) -> None:
    """Add the commands to the parser's.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    check = commands.add_parser(
        "check-files", help="say which settings, lock or results cannot be read, and what to do about it"
    )
    check.add_argument("--experiment", action="store_true", help="also what `dvc exp run` needs of git")
    check.set_defaults(run=_check_files)
    certify = commands.add_parser("certify", help="run the commit again in an empty clone and compare every output")
    certify.add_argument("--json", action="store_true", help="print JSON")
    certify.set_defaults(run=_certify)
    ci = commands.add_parser("ci", help="what continuous integration runs").add_subparsers(required=True)
    verify = ci.add_parser("verify", help="tell whether dvc.lock matches, without running anything")
    verify.set_defaults(run=_verify)
    retrain = ci.add_parser("retrain", help="retrain what changed, judge it, propose it as a branch, promote it")
    retrain.add_argument("--preset", metavar="NAME", help="a study of conf/study to take instead of params.yaml's")
    retrain.add_argument("--base", default="main", metavar="BRANCH", help="what the pull request is for; main")
    retrain.add_argument(
        "--format", metavar="NAME", help="export the best model in this format, and judge it as such"
    )
    retrain.set_defaults(run=_retrain)
    comment = ci.add_parser("comment", help="show a report of unknown origin in its pull request, as text")
    comment.add_argument("report", type=Path, help="a file")
    comment.add_argument("head", metavar="OWNER:BRANCH", help="what the pull request comes from")
    comment.add_argument("commit", help="the last commit of that branch")
    comment.set_defaults(run=_comment)


def _check_files(options: argparse.Namespace) -> None:
    from unfreeze.checks import corrections

    paths = Paths.here()
    git.require_repository(paths.root)
    if options.experiment:
        git.require_identity(paths.root)
    settings = (paths.params, paths.waivers, *sorted(paths.conf.rglob("*.yaml")))
    for path in filter(Path.exists, settings):
        files.read_yaml(path)
    corrections.read(paths.corrections)
    for path in paths.json_files:
        files.read_json(path)
    _check_watched(paths)
    dvc_repo.require_lock(paths)


def _check_watched(paths: Paths) -> None:
    """Look at the images' folder too: `validate` does so only when it is run, and DVC each time."""
    from unfreeze.sources.watched import require_hashable

    values = files.read_yaml(paths.params) if paths.params.exists() else None
    data = values.get("data") if isinstance(values, dict) else None
    watch = data.get("watch") if isinstance(data, dict) else None
    if isinstance(watch, str) and (paths.root / watch).exists():
        require_hashable(watch)


def _verify(_: argparse.Namespace) -> None:
    from unfreeze.ci import retraining

    retraining.verify(Paths.here())


def _retrain(options: argparse.Namespace) -> None:
    from unfreeze.ci import retraining

    paths = Paths.here()
    require_own_code(paths)
    retraining.retrain(paths, preset=options.preset, target=options.base, export=options.format)


def _comment(options: argparse.Namespace) -> None:
    from unfreeze.ci import pull_requests, text

    service = pull_requests.Service.here()
    if service is None:
        raise UnfreezeError(
            "there is no service to comment at: set GITHUB_API_URL, GITHUB_REPOSITORY and GITHUB_TOKEN"
        )
    body = text.quote(options.report.read_text(encoding="utf-8", errors="replace"))
    console.log.info("%s", service.comment(options.head, options.commit, body))


def _certify(options: argparse.Namespace) -> None:
    from unfreeze.ci import certification

    rows = certification.certify(Paths.here())
    tell(options, certification.tabulate(rows), lambda: certification.show(rows))
    if differing := certification.list_failures(rows):
        raise UnfreezeError(
            f"{len(differing)} of {len(rows)} outputs differ from the commit's: {', '.join(differing)}; the commit "
            "was made on another kind of machine, or a stage depends on what it does not declare"
        )
