"""``config.yaml`` -> one frozen, fully checked value."""

from __future__ import annotations

from scheduler.config.parts import Config
from scheduler.config.reading import FALLBACK_VARIABLE, PASSWORD_VARIABLE, database_of, dump, load_dumped, parse, read

__all__ = [
    "FALLBACK_VARIABLE",
    "PASSWORD_VARIABLE",
    "Config",
    "database_of",
    "dump",
    "load_dumped",
    "parse",
    "read",
]
