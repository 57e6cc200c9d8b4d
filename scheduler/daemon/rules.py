"""Follows the rules of time zones: those that the service starts with, and those that are installed under it."""

from __future__ import annotations

import time
from datetime import datetime

from scheduler import embargo
from scheduler.log import alarm, say
from scheduler.pipeline import zones
from scheduler.store import Store

_INSTALLED_IN = 5.0


class ZoneRules:
    """The tz database by which lifts are computed. The caller sees to it that nothing lifts meanwhile."""

    def __init__(self, store: Store, *, actor: str) -> None:
        self._store = store
        self._actor = actor
        self._seen = (embargo.tz_version(), time.monotonic())

    def follow(self, now: datetime) -> None:
        """Computes what waits again, if the rules are others than the store's."""
        found = zones.recompute(self._store, now=now, actor=self._actor)
        if found is None:
            return
        for uuid in found.moved:
            alarm("lift_moved_by_zone_rules", record=uuid)
        say(
            "zone_rules_changed",
            before=found.before,
            version=found.version,
            moved=len(found.moved),
            unmoved=found.unmoved,
        )

    def are_renewed(self) -> bool:
        """Whether others have been installed under the running service, and their installer has had time to finish."""
        installed, now = embargo.installed_tz_version(), time.monotonic()
        if installed != self._seen[0]:
            self._seen = (installed, now)
        return installed != embargo.tz_version() and now - self._seen[1] >= _INSTALLED_IN

    def take(self, now: datetime) -> None:
        """Takes the installed ones."""
        embargo.take_installed_tz()
        self.follow(now)
