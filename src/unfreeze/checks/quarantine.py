"""Images that `checks.on_bad=quarantine` leaves out, and what is said of those that cannot be read."""

from collections import Counter

import numpy as np
import pandas as pd

from unfreeze.checks import waivers
from unfreeze.checks.image_check import Images, load_image_checks
from unfreeze.checks.waivers import Waiver
from unfreeze.settings.checks import CheckSettings, Limits

# Reasons that a message gives, the most frequent first, and characters of each.
MOST_REASONS = 3
REASON_LENGTH = 160


def soften(checks: CheckSettings, limits: Limits) -> CheckSettings:
    """Let images that are left out end no run.

    Args:
        checks: Level and threshold of every image check.
        limits: Whether unusable images are left out.

    Returns:
        The settings; under `quarantine` checks of unusable images warn where their level is `error`.
    """
    softer = dict(checks)
    for name, check in load_image_checks().items():
        if limits.on_bad == "quarantine" and check.is_unusable and checks.get_level(name) == "error":
            softer[name] = checks[name].model_copy(update={"level": "warning"})
    return CheckSettings(softer)


def set_aside(rows: pd.DataFrame, checks: CheckSettings, limits: Limits, accepted: list[Waiver]) -> pd.DataFrame:
    """Leave out what checks of unusable images find, if `quarantine` is set.

    Args:
        rows: The manifest's rows, with `verdict`.
        checks: Level and threshold of every image check; what a check finds that only warns is used.
        limits: Whether unusable images are left out.
        accepted: Waivers; an image whose finding is waived is used.

    Returns:
        The rows; the verdict of an image that was `ok` is the name of the check if it is left out.
    """
    if limits.on_bad != "quarantine":
        return rows
    images, verdict = Images(rows, np.empty((0, 2), np.int64)), rows["verdict"].copy()
    for name, check in load_image_checks().items():
        if not check.is_unusable or checks.get_level(name) != "error":
            continue
        found = pd.DataFrame({name: check.find_in(images, checks)}, index=rows.index)
        waived = waivers.find_waived(found, rows["sha256"], accepted)
        verdict[found[name] & ~waived[name] & (verdict == "ok")] = name
    return rows.assign(verdict=verdict)


def drop_findings(found: pd.DataFrame, verdict: pd.Series) -> pd.DataFrame:
    """Drop what other checks found in images that are left out.

    Args:
        found: One bool column a check, one row an image.
        verdict: Of each image `ok`, or the check that left it out.
    """
    used = verdict == "ok"
    return pd.DataFrame({name: found[name] & (used | (verdict == name)) for name in found}, index=found.index)


def summarise_reasons(reasons: pd.Series) -> str:
    """Say in one line why images cannot be read, the most frequent reason first.

    Args:
        reasons: One text an image; an empty one does not count.

    Example:
        >>> summarise_reasons(pd.Series(["the file is empty", "", "an HTML page: remove it", "the file is empty"]))
        '2 x the file is empty; 1 x an HTML page: remove it'
    """
    counts = Counter(reason for reason in reasons if reason)
    shown = [f"{count} x {reason[:REASON_LENGTH]}" for reason, count in counts.most_common(MOST_REASONS)]
    more = [f"{len(counts) - MOST_REASONS} more reasons"] if len(counts) > MOST_REASONS else []
    return "; ".join([*shown, *more])
