"""The report of a session that another agent left behind: the same as that of a run of ours."""

from __future__ import annotations

from outlay.ledger import Ledger
from outlay.prices.book import PriceBook
from outlay.readers.sessions import Imported, find, imported
from outlay.readers.trace import trace
from outlay.views.facts import Brought, Facts, RunFacts, SessionFacts
from outlay.views.report_data import Report, compute


def build(ledger: Ledger, text: str, book: PriceBook) -> Report | None:
    """The report of the imported session that `text` is the id of, or the beginning; None when there is none."""
    root = find(ledger, text)
    return compute(facts(ledger, root), book, ledger.clock.now_ms()) if root is not None else None


def facts(ledger: Ledger, root: str) -> Facts:
    """What is known of an imported session and all that it started. Its tools' results are read from its
    transcripts, where they still are."""
    session = imported(ledger, root)
    first = min(call.started_ms or call.ended_ms for call in session.calls)
    last = max(call.ended_ms for call in session.calls)
    return Facts(
        run=RunFacts(
            id=root,
            name=session.title or session.project.rstrip("/").rpartition("/")[2] or root[:8],
            status="ended",
            workspace=session.project,
            started_ms=first,
            ended_ms=last,
            wall_ms=last - first,
        ),
        sessions=_sessions(session),
        calls=session.calls,
        brought=[
            Brought(use.session, use.call, use.tool, use.chars, use.failed)
            for use in trace(ledger, root).uses
            if use.answered
        ],
    )


def _sessions(session: Imported) -> list[SessionFacts]:
    found = []
    for one in session.sessions:
        own = [call for call in session.calls if call.session == one.id and call.quality != "residual"]
        found.append(
            SessionFacts(
                id=one.id,
                name=one.name,
                parent=one.parent,
                role=one.role,
                model=one.model,
                status=one.status,
                turns=len(own),
                context_tokens=own[-1].usage.input if own else 0,
                started_ms=own[0].ended_ms if own else None,
                ended_ms=own[-1].ended_ms if own else None,
            )
        )
    return found
