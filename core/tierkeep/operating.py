"""What the operator of a store does: list its owners, back it up, move it to another store, erase a person. The verbs of `Memory`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tierkeep.allowance import Listener
from tierkeep.errors import InputError, SettingsError
from tierkeep.protocols import Clock, Ledger, Owner
from tierkeep.twins import twin

if TYPE_CHECKING:
    from tierkeep.erasing import EraseReport
    from tierkeep.ledger.seal import Seal
    from tierkeep.moving import MoveReport
    from tierkeep.scoped import ScopedMemory

__all__ = ["Operations"]


class Operations:
    """The verbs of a memory that are about its whole store, whoever owns what is in it. Async twins have an `a` in front."""

    _ledger: Ledger
    _clock: Clock

    def scope(self, *, tenant: str = "", user: str = "", agent: str = "", session: str | None = None) -> ScopedMemory:
        """Return the memory of one owner."""
        raise NotImplementedError

    def owners(self, *, tenant: str | None = None, user: str | None = None, agent: str | None = None) -> list[Owner]:
        """Return whose memory the store has, sorted by name, with the events and characters of each.

        Args:
            tenant: Only of this tenant; "" is the name of those without one, None stands for all.
            user: Only of this user, likewise.
            agent: Only of this agent, likewise.
        """
        asked = (tenant, user, agent)
        return [one for one in self._ledger.owners() if all(a in (None, b) for a, b in zip(asked, one.scope.partition, strict=True))]

    def backup(self, path: str | Path, *, replace: bool = False, progress: Listener | None = None) -> int:
        """Copy the store into one file while it is written to; return its bytes. The copy has been verified when it is there.

        The copy is the store as it was at one moment. It holds everything, so it is for its owner's eyes only (mode 0600), and a forget
        does not reach it.

        Args:
            path: The file; its folder must be there.
            replace: Put it in the place of an older backup.
            progress: Is told how far it is, in pages.

        Raises:
            InputError: There is a file already, or a store that is in use.
            SettingsError: The store is a server's, which has a tool of its own for it.
            StoreCorrupt: The copy does not verify; it was thrown away.
            StoreUnavailable: It cannot be written.
        """
        copy = getattr(self._ledger, "backup", None)
        if copy is None:
            raise SettingsError(
                "this store is not a file: back it up with its server's own tool (pg_dump, see docs/guides/postgresql.md), or copy it "
                "into a file with `tierkeep migrate`"
            )
        return int(copy(Path(path).expanduser(), replace=replace, listener=progress))

    @staticmethod
    def put_back(backup: str | Path, where: str | Path, *, replace: bool = False, seal: Seal | None = None) -> int:
        """Put a backup in the place of a store; return its events. It is verified first.

        Args:
            backup: A file that `backup` made. It is only read.
            where: A folder or file, as `Memory.open` takes it.
            replace: Put it in the place of a store that is there. What that store holds is lost.
            seal: The key, when the backup is of a sealed store.

        Raises:
            InputError: There is a store already, and `replace` is not given.
            StoreUnavailable: The store that is there is in use. Close everything that has it open, and try again.
            StoreCorrupt: The backup is no store, or does not verify. Nothing was changed.
        """
        from tierkeep.ledger.backups import put_back

        return put_back(Path(backup).expanduser(), where, replace=replace, seal=seal)

    def copy_to(self, other: Operations, *, dry_run: bool = False, progress: Listener | None = None) -> MoveReport:
        """Write every owner's memory into another store, and check that both hold the same; see `tierkeep.moving.move`.

        Raises:
            InputError: Both are the same store.
            TargetOccupied: The other store has an owner whose memory is another there; nothing was written.
            StorageError: A store failed. Call it again: what is there already is passed over.
        """
        from tierkeep.moving import move

        return move(self._ledger, other._ledger, dry_run=dry_run, listener=progress)

    def erase(self, *, user: str, tenant: str = "") -> EraseReport:
        """Forget a person: everything that the store has of this user, under every agent. Cannot be undone.

        Args:
            user: The person.
            tenant: The organisation: the same name elsewhere is somebody else.

        Raises:
            InputError: No user is named.
            StorageError: The store cannot write. What was erased before stays erased; call it again.
        """
        from tierkeep.erasing import erase

        if not isinstance(user, str) or not user:
            raise InputError("say who is to be erased: erase(user=…)", field="user")
        mine = [self.scope(tenant=tenant, user=user, agent=one.scope.agent) for one in self.owners(tenant=tenant, user=user)]
        return erase(mine, (tenant, user), self._ledger, self._clock)

    aowners = twin(owners)
    abackup = twin(backup)
    acopy_to = twin(copy_to)
    aerase = twin(erase)
