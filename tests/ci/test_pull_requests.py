from pathlib import Path

import pytest

from tests.ci.github import TOKEN, GitHub, github
from unfreeze.ci.pull_requests import Service
from unfreeze.cli import main
from unfreeze.errors import UnfreezeError


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    with github() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


def here() -> Service:
    service = Service.here()
    assert service is not None
    return service


def test_a_pull_request_is_made_once_and_then_brought_up_to_date(hub: GitHub) -> None:
    assert "is made" in here().propose("retrain/1", "main", "first", "text")
    assert "is up to date" in here().propose("retrain/1", "main", "second", "other text")
    (pull,) = hub.pulls
    assert (pull["title"], pull["body"], pull["base"]["ref"]) == ("second", "other text", "main")


def test_a_closed_pull_request_stays_closed(hub: GitHub) -> None:
    here().propose("retrain/1", "main", "first", "text")
    hub.pulls[0]["state"] = "closed"
    assert "was closed" in here().propose("retrain/1", "main", "second", "text")
    assert [pull["title"] for pull in hub.pulls] == ["first"]


def test_a_text_longer_than_github_takes_is_cut(hub: GitHub) -> None:
    here().propose("retrain/1", "main", "first", "x" * 100_000)
    assert len(hub.pulls[0]["body"]) == 65_536


def test_a_refusal_is_one_line_that_does_not_tell_the_token(hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "another-token-that-is-wrong")
    with pytest.raises(UnfreezeError, match="needs the permissions contents and pull-requests") as caught:
        here().propose("retrain/1", "main", "first", "text")
    assert "another-token" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_service_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch, hub: GitHub) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    with pytest.raises(UnfreezeError, match="no pull request"):
        here().propose("retrain/1", "main", "first", "text")


def test_outside_of_a_job_there_is_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    assert Service.here() is None


def test_the_token_is_not_shown_with_the_service(hub: GitHub) -> None:
    assert TOKEN not in repr(here())


FORK = {"head": {"ref": "main", "label": "stranger:main", "sha": "abc"}, "base": {"ref": "main"}, "state": "open"}


def test_a_forks_report_is_a_comment_of_plain_text_written_anew_each_time(hub: GitHub, tmp_path: Path) -> None:
    hub.pulls = [{"number": 1, "html_url": "", **FORK}]
    report = tmp_path / "report.md"
    report.write_text("``` @everyone ![](https://example.org/pixel.png)\n````\n<script>")
    for _ in range(2):
        main.main(["ci", "comment", str(report), "stranger:main", "abc"])
    (comment,) = hub.comments
    lines = comment["body"].splitlines()
    # Within a fence that the text cannot end.
    assert lines[3] == "`````text"
    assert lines[-1] == "`````"
    assert "`````" not in "\n".join(lines[4:-1])


def test_a_report_is_shown_only_where_its_commit_is_the_last(hub: GitHub, tmp_path: Path) -> None:
    hub.pulls = [{"number": 1, "html_url": "", **FORK}]
    (tmp_path / "report.md").write_text("text")
    main.main(["ci", "comment", str(tmp_path / "report.md"), "stranger:main", "abd"])
    assert hub.comments == []


def test_a_comment_of_a_person_with_the_same_mark_is_left_alone(hub: GitHub, tmp_path: Path) -> None:
    hub.pulls = [{"number": 1, "html_url": "", **FORK}]
    theirs = {"id": 1, "issue": 1, "user": {"type": "User"}, "body": "<!-- unfreeze: report -->", "html_url": ""}
    hub.comments = [dict(theirs)]
    (tmp_path / "report.md").write_text("text")
    main.main(["ci", "comment", str(tmp_path / "report.md"), "stranger:main", "abc"])
    assert hub.comments[0] == theirs
    assert len(hub.comments) == 2
