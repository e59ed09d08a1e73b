"""Which driver works on which unit, when several share one results directory.

A unit that a driver has claimed has a file ``claim`` with the driver's id. A claim is valid as long
as its driver is alive (see `ablation.store.heartbeat`); then another driver may claim the unit. A
driver waits for another one only when it has nothing else to do.

Claims only save work. What keeps two workers out of one directory is
:meth:`ablation.store.Store.locked`.
"""

from __future__ import annotations

import contextlib

from filelock import FileLock

from ablation.store.heartbeat import Heartbeat
from ablation.store.store import Store
from ablation.store.unit_files import CLAIM

POLL_SECONDS = 0.005
"""Seconds between two attempts to lock the claims: another driver holds them for a millisecond."""


class Claims:
    """The units that this driver has claimed. Use as a context manager around a run.

    Args:
        store: where the units are.
        heartbeat: of this driver, which is running; if not given, the claims start one.
    """

    def __init__(self, store: Store, heartbeat: Heartbeat | None = None) -> None:
        self._store, self._stack = store, contextlib.ExitStack()
        self._heartbeat, self._owns_heartbeat = heartbeat or Heartbeat(store), heartbeat is None
        self._held: set[str] = set()

    def __enter__(self) -> Claims:
        if self._owns_heartbeat:
            self._stack.enter_context(self._heartbeat)
        return self

    def __exit__(self, *error: object) -> None:
        for key in tuple(self._held):
            self.release(key)
        self._stack.close()

    def take(self, key: str) -> bool:
        """Claim the unit ``key``; False if it is claimed by another driver that is alive.

        Raises:
            OSError: if the claim cannot be written.
        """
        if key in self._held:
            return True
        me, drivers = self._heartbeat.driver, self._heartbeat.drivers
        claim = self._store.directory(key) / CLAIM
        claim.parent.mkdir(parents=True, exist_ok=True)
        mine = claim.with_name(f".claim.{me}.tmp")
        try:
            mine.write_text(me, encoding="utf-8")
            with FileLock(drivers.lock).acquire(poll_interval=POLL_SECONDS):
                owner = self._store.files(key).claimed_by()
                if owner not in (None, me) and drivers.is_alive(owner):
                    return False
                mine.replace(claim)
        finally:
            mine.unlink(missing_ok=True)
        self._held.add(key)
        return True

    def release(self, key: str) -> None:
        """Release the unit ``key``."""
        self._held.discard(key)
        with contextlib.suppress(OSError):  # on a read-only disk it lasts as long as its driver
            (self._store.directory(key) / CLAIM).unlink(missing_ok=True)
