"""Records turned into pages, feeds and mail: every output is a template."""

from __future__ import annotations

from scheduler.render.pages import Newsroom, Renderer

__all__ = ["Newsroom", "Renderer"]
