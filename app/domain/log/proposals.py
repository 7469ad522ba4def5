"""The proposals of a log: versions that were computed and verified, and are committed only if somebody approves.

They lie beside the chain, which knows nothing of them until one is published: then a version says which it was. A
proposal that was published, or whose time is over, is not there any more for anybody, though its folder may still be.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from app.domain.contract.proposal_ids import PREFIX
from app.domain.digests import sha256
from app.domain.entries import DIGITS, Entry, Shelf, proposal_entry
from app.domain.errors import DamagedVersion, UnknownProposal, UnknownVersion
from app.domain.log.chain import Chain
from app.domain.log.pages import ProposalPage
from app.domain.storage.storage import Stamp, Storage


def number_of(job: str) -> int:
    """The number of the proposal that a job makes: the same at every delivery, and not that of an earlier proposal."""
    return int(str(int(sha256(job.encode()), 16))[-DIGITS:])


def id_of(number: int) -> str:
    """What callers call the proposal of a number."""
    return f"{PREFIX}{number:0{DIGITS}d}"


def entry_of(proposal: str) -> Entry:
    """Where a proposal stands, by its id."""
    return proposal_entry(int(proposal.removeprefix(PREFIX)))


class Proposals:
    """The proposals of one log, for reading. Safe in several threads; remembers what it has verified.

    Raises:
        DamagedVersion: wherever a page is read that does not have the bytes that were written, and is still there.
    """

    def __init__(self, storage: Storage, chain: Chain) -> None:
        self._storage, self._chain = storage, chain
        self._known: dict[int, tuple[Stamp | None, ProposalPage]] = {}

    def numbers(self) -> list[int]:
        """All that have a folder, rising: waiting, over and damaged."""
        return self._storage.numbers(Shelf.PROPOSALS)

    def lies(self, proposal: str) -> bool:
        """Whether it has a folder."""
        return entry_of(proposal).number in self.numbers()

    def waiting(self) -> list[ProposalPage]:
        """Those that can be published, oldest first."""
        found = []
        for number in self.numbers():
            with suppress(UnknownProposal):
                found.append(self.get(id_of(number)))
        return sorted(found, key=lambda page: page.created)

    def over(self) -> list[str]:
        """Ids of those that lie there still, and are published or expired."""
        return [id_of(number) for number in self.numbers() if self._is_over(number)]

    def get(self, proposal: str) -> ProposalPage:
        """One that waits.

        Raises:
            UnknownProposal: there is none of that id, or not any more.
        """
        page = self.page(entry_of(proposal).number)
        if (version := self.published_as(proposal, page.draft.version)) is not None:
            raise UnknownProposal(f"{proposal} was published as version {version}", field="proposal", value=proposal)
        if page.expires <= datetime.now(UTC):
            raise UnknownProposal(f"{proposal} has expired", field="proposal", value=proposal)
        return page

    def of_job(self, job: str) -> ProposalPage | None:
        """What a job has proposed, as long as it lies there; None if it has not."""
        if (number := number_of(job)) not in self.numbers():  # as of most jobs, which are asked for often
            return None
        try:
            page = self.page(number)
        except UnknownProposal:
            return None
        return page if page.draft.job == job else None

    def page(self, number: int) -> ProposalPage:
        """What a proposal says of itself, whether it waits or is over.

        Raises:
            UnknownProposal: it is not there.
        """
        name = proposal_entry(number).page
        stamp, known = self._storage.stamp(name), self._known.get(number)
        if known is not None and known[0] == stamp and number in self.numbers():
            return known[1]
        try:
            page = self._storage.settled(name, partial(self._read, name))
        except DamagedVersion:
            self._known.pop(number, None)
            if number not in self.numbers():
                detail = f"{self._storage.model} has no {id_of(number)}"
                raise UnknownProposal(detail, field="proposal", value=id_of(number)) from None
            raise
        self._known[number] = stamp, page
        return page

    def file(self, page: ProposalPage, name: str) -> bytes:
        """A proposal's file, checked byte by byte.

        Raises:
            UnknownProposal: it was published or dropped meanwhile.
        """
        entry = entry_of(page.id)
        try:
            return self._storage.read_file(entry, name, page.files[name])
        except DamagedVersion:
            self.page(entry.number)
            raise

    def published_as(self, proposal: str, first: int = 1) -> int | None:
        """The version that it became, if it was published. ``first``: the first version that it can be."""
        for version in range(first, self._chain.head() + 1):
            with suppress(UnknownVersion):
                if self._chain.outline(version).proposal == proposal:
                    return version
        return None

    def _is_over(self, number: int) -> bool:
        try:
            self.get(id_of(number))
        except UnknownProposal:
            return True
        except DamagedVersion:  # it is told, and dropped by hand
            return False
        return False

    def _read(self, name: str) -> ProposalPage:
        return self._chain.parsed(ProposalPage, name, self._storage.read_page(name))
