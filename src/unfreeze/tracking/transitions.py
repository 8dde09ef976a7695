"""The log of who was champion when: the truth about promotions, from which the alias is derived.

An alias can be set by two at once, and the last wins without a word. A run's parameter cannot: its first value
stays, and MLflow refuses another, in whatever store. So each transition has a number, and is claimed by writing the
parameter of that number. The second of two gets an error.
"""

import dataclasses
import functools
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from unfreeze.runtime.redaction import redact
from unfreeze.tracking.server import Server

Kind = Literal["promotion", "rollback"]

# MLflow sorts parameters as text.
DIGITS = 4
# Longest reason. MLflow cuts a parameter at 6,000 letters, and JSON may write one as six.
MOST_LETTERS = 900


@dataclass(frozen=True)
class Transition:
    """One change of the champion.

    Args:
        number: From 1.
        kind: A rollback goes back to the version before; a promotion goes on.
        before: The version that was champion; None for the first.
        to: The version that is champion from then on.
        reason: Why: the verdict, or what a person gave.
        judgement: The run that recorded the verdict; None for a rollback.
        time: When, in UTC.
        claim: Tells this attempt from another with the same content.
    """

    number: int
    kind: Kind
    before: int | None
    to: int
    reason: str
    judgement: str | None
    time: str
    claim: str

    @classmethod
    def after(
        cls, known: Sequence["Transition"], kind: Kind, to: int, *, reason: str, judgement: str | None = None
    ) -> "Transition":
        """Return the transition that would come next."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        before = known[-1].to if known else None
        summary = redact(" ".join(reason.split()))[:MOST_LETTERS]
        return cls(len(known) + 1, kind, before, to, summary, judgement, now, uuid.uuid4().hex)


class Transitions:
    """The log, in the parameters of one run.

    Args:
        server: The store.
        run_id: The run.
    """

    def __init__(self, server: Server, run_id: str) -> None:
        self.server = server
        self.run_id = run_id

    def read(self) -> list[Transition]:
        """Return all transitions, the first first."""
        params = self.server.client.get_run(self.run_id).data.params
        return [Transition(**json.loads(params[number])) for number in sorted(params)]

    def claim(self, wanted: Transition) -> list[Transition]:
        """Write a transition down if its number is free.

        Returns:
            All transitions after that: whose claim stands at its number has won.
        """
        from mlflow.exceptions import MlflowException

        refusal = None
        try:
            value = json.dumps(dataclasses.asdict(wanted), ensure_ascii=False)
            self.server.client.log_param(self.run_id, f"{wanted.number:0{DIGITS}}", value)
        except MlflowException as error:
            refusal = error
        # An answer that got lost on its way looks like a failure: the log tells.
        known = self.read()
        if refusal is not None and len(known) < wanted.number:
            raise refusal
        return known


def list_champions(known: Sequence[Transition]) -> list[int]:
    """Return the versions that were champion, up to the present one, without those that were rolled back.

    Args:
        known: All transitions, the first first.
    """

    def follow(stack: list[int], transition: Transition) -> list[int]:
        return stack[:-1] if transition.kind == "rollback" else [*stack, transition.to]

    return functools.reduce(follow, known, [])


def describe_transitions(known: Sequence[Transition]) -> list[dict[str, Any]]:
    """Return the transitions as mappings for people and machines: number, kind, from, to, reason, judgement, time."""
    return [
        {
            "number": one.number,
            "kind": one.kind,
            "from": one.before,
            "to": one.to,
            "reason": one.reason,
            "judgement": one.judgement,
            "time": one.time,
        }
        for one in known
    ]
