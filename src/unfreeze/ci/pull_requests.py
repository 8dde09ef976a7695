"""Pull requests by GitHub's REST API, as the variables of its jobs describe it."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from unfreeze.errors import UnfreezeError, shorten
from unfreeze.runtime.redaction import redact

# A request that takes longer than this many seconds is not answered any more.
PATIENCE = 30
# GitHub takes no longer text.
MOST_CHARACTERS = 65_536
# Tells this project's comment from others; GitHub does not show it.
MARK = "<!-- unfreeze: report -->"


@dataclass(frozen=True)
class Service:
    """A repository at GitHub, or at what speaks its API.

    Args:
        api: Address of the API.
        server: Address of the pages.
        repository: Owner and name, with a slash between them.
        token: What lets this job write pull requests.
    """

    api: str
    server: str
    repository: str
    token: str = field(repr=False)

    @classmethod
    def here(cls) -> "Service | None":
        """Return the service that this job runs for; None outside of one."""
        api, repository, token = (os.environ.get(f"GITHUB_{name}") for name in ("API_URL", "REPOSITORY", "TOKEN"))
        if not (api and repository and token):
            return None
        return cls(api, os.environ.get("GITHUB_SERVER_URL", "https://github.com"), repository, token)

    def build_address(self, commit: str, path: Path) -> str:
        """Return where a file of a commit can be seen as it is, also after its branch was deleted."""
        return f"{self.server}/{self.repository}/raw/{commit}/{path.as_posix()}"

    def propose(self, branch: str, target: str, title: str, body: str) -> str:
        """Make a branch's pull request, or bring its text up to date; one that was closed stays closed.

        Args:
            branch: What to merge.
            target: The branch to merge it into.
            title: One line.
            body: Markdown; what GitHub would not take is cut off.

        Returns:
            What was done, in a sentence.

        Raises:
            UnfreezeError: The service does not answer, or refuses.
        """
        owner = self.repository.partition("/")[0]
        content = {"title": title, "body": body[:MOST_CHARACTERS]}
        asked = {"head": f"{owner}:{branch}", "base": target, "state": "all"}
        known = self._ask("GET", "pulls", params=asked)
        if not known:
            made = self._ask("POST", "pulls", json={**content, "head": branch, "base": target})
            return f"pull request {made['html_url']} is made"
        (found, *_) = known
        if found["state"] != "open":
            return f"pull request {found['html_url']} was closed and stays so"
        self._ask("PATCH", f"pulls/{found['number']}", json=content)
        return f"pull request {found['html_url']} is up to date"

    def comment(self, head: str, commit: str, body: str) -> str:
        """Show a text in the pull request of a commit, in place of the one shown before.

        Args:
            head: Owner and branch that the pull request comes from, with a colon between them.
            commit: The last commit of that branch.
            body: Markdown.

        Returns:
            What was done, in a sentence.

        Raises:
            UnfreezeError: The service does not answer, or refuses.
        """
        known = self._ask("GET", "pulls", params={"head": head, "state": "open"})
        current = [found for found in known if found["head"]["sha"] == commit]
        if not current:
            return f"no open pull request ends with commit {commit}: nothing to comment on"
        comments = f"issues/{current[0]['number']}/comments"
        content = {"body": f"{MARK}\n{body}"[:MOST_CHARACTERS]}
        shown = self._ask("GET", comments, params={"per_page": 100})
        # Anybody who may comment can write the mark.
        own = [old["id"] for old in shown if old["user"]["type"] == "Bot" and old["body"].startswith(MARK)]
        if own:
            changed = self._ask("PATCH", f"issues/comments/{own[0]}", json=content)
            return f"comment {changed['html_url']} is up to date"
        return f"comment {self._ask('POST', comments, json=content)['html_url']} is made"

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.github+json"}
        try:
            answer = requests.request(
                method, f"{self.api}/repos/{self.repository}/{path}", headers=headers, timeout=PATIENCE, **content
            )
            answer.raise_for_status()
            return answer.json()
        except requests.RequestException as error:
            reason = shorten(error, hide=redact)
            raise UnfreezeError(
                f"no pull request ({reason}): the job needs the permissions contents and pull-requests to write, and "
                "the repository's settings must let Actions create pull requests; then run this again"
            ) from error
