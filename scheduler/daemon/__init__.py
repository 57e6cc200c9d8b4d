"""Wakes the pipeline at the right moments. Three processes: the one that lifts, the web server, the mail worker."""

from __future__ import annotations

from scheduler.daemon.service import Service

__all__ = ["Service"]
