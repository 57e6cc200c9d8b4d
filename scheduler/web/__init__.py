"""Serves the site folder over HTTP, as a process of its own. It never reads a record."""

from __future__ import annotations

from scheduler.web.serve import serve

__all__ = ["serve"]
