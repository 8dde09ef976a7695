"""The command that corrects labels: it writes checks/corrections.csv, which `check` obeys."""

import argparse
import getpass
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unfreeze import git
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.runtime import console

if TYPE_CHECKING:
    from unfreeze.checks.corrections import Correction
    from unfreeze.checks.raw_images import RawImage

BEGIN_OF_DIGEST = re.compile("[0-9a-f]{12,64}")


def add(commands: Any) -> None:
    """Add the command to the parser's.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    correct = commands.add_parser("correct", help="correct an image's label, or leave the image out")
    correct.add_argument("image", nargs="?", help="its path below data/raw or the source, or its SHA-256")
    what = correct.add_mutually_exclusive_group(required=True)
    what.add_argument("--label", help="the label that is right")
    what.add_argument("--keep", action="store_true", help="the label is right: findings on it are not listed again")
    what.add_argument("--exclude", action="store_true", help="use the image for nothing")
    what.add_argument("--withdraw", action="store_true", help="forget the image's correction")
    what.add_argument(
        "--merge", metavar="FILE", type=Path, help="add the corrections of a file, as the pages give it"
    )
    correct.add_argument("--reason", help="why")
    correct.add_argument("--by", metavar="NAME", help="who decided; git's user.name if none is given")
    correct.set_defaults(run=_correct)


def _correct(options: argparse.Namespace) -> None:
    from unfreeze.checks import corrections

    paths = Paths.here()
    known = corrections.read(paths.corrections)
    if options.merge:
        merged, told = _merge(options, known)
    elif options.image is None:
        raise UnfreezeError("no image is named: give its path below data/raw, or its SHA-256")
    elif options.withdraw:
        merged, told = _withdraw(options, known, paths)
    else:
        merged, told = _add(options, known, paths)
    corrections.write(paths.corrections, merged)
    console.log.info("%s; `dvc repro` applies it", told)


def _merge(options: argparse.Namespace, known: "list[Correction]") -> "tuple[list[Correction], str]":
    from unfreeze.checks import corrections

    if options.image is not None:
        raise UnfreezeError(f"--merge adds a whole file and takes no image: leave {options.image!r} out")
    if not options.merge.is_file():
        raise UnfreezeError(
            f"{options.merge} is no file: give the corrections.csv that a page of findings handed out"
        )
    new = [one for one in corrections.read(options.merge) if one not in known]
    replaced = len({one.sha256 for one in new} & {one.sha256 for one in known})
    merged = corrections.merge(known, new)
    return merged, f"{len(new)} corrections of {options.merge} are new or different, {replaced} of them replace one"


def _withdraw(options: argparse.Namespace, known: "list[Correction]", paths: Paths) -> "tuple[list[Correction], str]":
    from unfreeze.checks import raw_images

    # An image that is gone has a digest alone, of which `check` logs the first digits.
    digest = options.image
    if not BEGIN_OF_DIGEST.fullmatch(digest):
        digest = raw_images.find_image(options.image, paths).sha256
    rest = [one for one in known if not one.sha256.startswith(digest)]
    if len(rest) == len(known):
        raise UnfreezeError(
            f"{options.image!r} has no correction in checks/corrections.csv: there is none to withdraw"
        )
    return rest, f"the correction of {options.image} is withdrawn"


def _add(options: argparse.Namespace, known: "list[Correction]", paths: Paths) -> "tuple[list[Correction], str]":
    from unfreeze.checks import corrections, raw_images

    image = raw_images.find_image(options.image, paths)
    action = "keep" if options.keep else "exclude" if options.exclude else "relabel"
    label = _choose_label(options, image)
    if not (options.reason or "").strip():
        raise UnfreezeError(
            f"no reason is given: say why with --reason, since it stands beside the {action} for good"
        )
    correction = corrections.Correction.model_validate(
        {
            "sha256": image.sha256, "action": action, "label": label, "reason": options.reason,
            "by": options.by or _find_name(paths), "date": date.today(),
        }
    )  # fmt: skip
    before = next((one for one in known if one.sha256 == image.sha256), None)
    instead = f", instead of {f'{before.action} {before.label}'.strip()}" if before else ""
    done = {
        "keep": f"the label {label} of {', '.join(image.names)} is kept",
        "exclude": f"{', '.join(image.names)} is excluded",
        "relabel": f"{', '.join(image.names)} is relabelled from {', '.join(image.labels)} to {label}",
    }[action]
    return corrections.merge(known, [correction]), done + instead


def _choose_label(options: argparse.Namespace, image: "RawImage") -> str:
    """Return the label that the correction names.

    Raises:
        UnfreezeError: The source has no such label, the image has it already, or has two.
    """
    given = ", ".join(image.labels)
    if options.exclude:
        return ""
    if options.keep:
        if len(image.labels) > 1:
            raise UnfreezeError(f"{options.image!r} stands under {given} with the same bytes: give one by --label")
        return image.labels[0]
    if options.label not in image.known_labels:
        raise UnfreezeError(
            f"no image of the source has the label {options.label!r}: take one of {', '.join(image.known_labels)}; a "
            "new class begins in the source"
        )
    if image.labels == (options.label,):
        raise UnfreezeError(
            f"the source's label of {options.image!r} is {options.label!r} already: use --keep to say that it is "
            "right, or --withdraw to undo a correction"
        )
    return str(options.label)


def _find_name(paths: Paths) -> str:
    """Return who corrects.

    Raises:
        UnfreezeError: Neither git nor the system knows.
    """
    try:
        return git.find_user(paths.root) or getpass.getuser()
    except (KeyError, OSError) as error:
        raise UnfreezeError("who corrects is not known: say so with --by NAME") from error
