"""Findings: one row for each check and image, with what a person wants to know of it."""

from collections.abc import Mapping, Sequence

import pandas as pd

from unfreeze.checks.image_check import ImageCheck

COLUMNS = ("check", "path", "label", "detail", "copies", "sha256", "waived")


def list_findings(
    rows: pd.DataFrame, found: pd.DataFrame, waived: pd.DataFrame, checks: Mapping[str, ImageCheck]
) -> pd.DataFrame:
    """List all findings.

    Args:
        rows: The manifest's measures, and `copies`: a number for those that show the same.
        found: One bool column a check, one row an image.
        waived: Table of the same form: which findings are waived.
        checks: The image checks by name.

    Returns:
        One row a finding, check by check, the worst first: columns `COLUMNS`.
    """
    parts = [pd.DataFrame(columns=list(COLUMNS))]
    for name in map(str, found.columns):
        check, of_check = checks[name], rows[found[name]]
        if of_check.empty:
            continue
        if check.worst_first is not None:
            of_check = of_check.sort_values(check.worst_first, ascending=check.low_is_worst, kind="stable")
        elif check.finds_copies:
            of_check = of_check.sort_values("copies", kind="stable")
        detail = [check.detail.format_map(row) for row in of_check.to_dict("records")]
        part = of_check.assign(check=name, detail=detail, waived=waived.loc[of_check.index, name])
        parts.append(part[list(COLUMNS)])
    return pd.concat(parts[1:] or parts, ignore_index=True)


def group_findings(of_check: pd.DataFrame, check: ImageCheck) -> Sequence[pd.DataFrame]:
    """Split the findings of one check into images that belong together: copies, or else single images.

    Args:
        of_check: Rows of the findings.
        check: The check that found them.
    """
    if check.finds_copies:
        return [group for _, group in of_check.groupby("copies", sort=False)]
    return [of_check.iloc[[place]] for place in range(len(of_check))]
