"""What a consensus held back while a question was answered, and the small write that keeps it as lessons afterwards.

A read stays a read: the stages only propose, and the lessons are written when the answer is there. That write may fail without the
question failing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tierkeep import pipelines
from tierkeep.allowance import Allowance
from tierkeep.errors import OpRefused, StorageError
from tierkeep.protocols import Agreement, Consensus, Ledger, View
from tierkeep.records import Answer, Evidence, GuardEntry, Hit, Op, Query

__all__ = ["ask", "recall"]

R = TypeVar("R")

_LOG = logging.getLogger(__name__)


def recall(query: Query, ledger: Ledger, stages: pipelines.ReadStages, allowance: Allowance) -> Evidence:
    """Do what `pipelines.recall` does, and learn from what was held back on the way."""
    return _learnt(pipelines.recall, query, ledger, stages, allowance)


def ask(query: Query, ledger: Ledger, stages: pipelines.ReadStages, allowance: Allowance) -> Answer:
    """Do what `pipelines.ask` does, and learn from what was held back on the way."""
    return _learnt(pipelines.ask, query, ledger, stages, allowance)


def _learnt(
    read: Callable[[Query, View, pipelines.ReadStages, Allowance], R], query: Query, ledger: Ledger, stages: pipelines.ReadStages,
    allowance: Allowance,
) -> R:  # fmt: skip
    if stages.consensus is None:
        return read(query, ledger.view(query.scope), stages, allowance)
    witness = _Witness(stages.consensus)
    found = read(query, ledger.view(query.scope), replace(stages, consensus=witness), allowance)
    witness.learn(query, ledger)
    return found


@dataclass(slots=True)
class _Witness:
    """A consensus for one question, which remembers what it decided.

    Attributes:
        consensus: The one that decides.
        heard: Its agreements, in order of the attempts.
    """

    consensus: Consensus
    heard: list[Agreement] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """Model calls of one `agree` at most."""
        return self.consensus.calls

    def agree(self, hits: Sequence[Hit], query: Query, view: View, allowance: Allowance) -> Agreement:
        """Return what may be shown, and remember it."""
        agreement = self.consensus.agree(hits, query, view, allowance)
        self.heard.append(agreement)
        return agreement

    def lessons(self, agreement: Agreement, query: Query, view: View) -> list[Op]:
        """Return what the consensus learns of it."""
        return self.consensus.lessons(agreement, query, view)

    def learn(self, query: Query, ledger: Ledger) -> None:
        """Write what is to be learnt of the question, each agreement in a transaction of its own.

        What cannot be written is logged: the question has been answered by then.
        """
        for agreement in self.heard:
            try:
                if not self.lessons(agreement, query, ledger.view(query.scope)):
                    continue
                with ledger.transaction(query.scope) as transaction:
                    # Asked again inside, where nobody writes in between.
                    transaction.apply(self.lessons(agreement, query, transaction.view))
                    dropped = [(hit.item.id, reason) for hit, _, reason in agreement.dropped]
                    transaction.log([GuardEntry(verb="drop", subject=id_, reasons=(why,), by="consensus") for id_, why in dropped])
            except (OpRefused, StorageError) as error:
                _LOG.warning("what a consensus held back could not be kept as a lesson: %s", type(error).__name__)
