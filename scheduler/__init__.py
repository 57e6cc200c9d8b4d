"""Embargo holds press releases and releases them to RSS and e-mail when their embargo lifts."""

from pathlib import Path

__version__ = "0.1.0"


def shipped(name: str) -> Path:
    """The path of a file or folder that travels with the package: ``templates``, ``examples`` or ``config.yaml``.

    In a wheel they lie inside the package; in a checkout they stand at the top of the project, where people edit them.
    """
    package = Path(__file__).parent
    inside = package / "shipped" / name
    return inside if inside.exists() else package.parent / name
