"""The schema in docs/ is that of the records, and the committed report follows it."""

import json

import jsonschema
import pytest

from tests.conftest import PROJECT
from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.records.study_report import Report, describe_schema

SCHEMA = PROJECT / "docs" / "report.schema.json"
REPORT = Paths(PROJECT).report_json


def test_the_schema_in_docs_is_that_of_the_records() -> None:
    command = (
        "from pathlib import Path; from unfreeze import files; from unfreeze.records import study_report; "
        "files.write_json(Path('docs/report.schema.json'), study_report.describe_schema())"
    )
    remedy = f'write it again: python -c "{command}"'
    assert files.read_json(SCHEMA) == json.loads(json.dumps(describe_schema())), remedy


def test_the_committed_report_follows_the_schema() -> None:
    jsonschema.Draft202012Validator(files.read_json(SCHEMA)).validate(files.read_json(REPORT))


def test_a_report_without_a_cost_does_not_follow_it() -> None:
    report = files.read_json(REPORT)
    del report["costs"]["xception"]["parameters"]
    with pytest.raises(jsonschema.ValidationError, match="'parameters' is a required property"):
        jsonschema.Draft202012Validator(files.read_json(SCHEMA)).validate(report)


def test_the_committed_report_is_read_without_a_loss() -> None:
    assert Report.read(REPORT).to_json() == files.read_json(REPORT)
