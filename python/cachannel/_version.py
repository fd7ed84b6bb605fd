"""The package's version."""

from __future__ import annotations

__version__ = "4.0.0a1"
version_info = (4, 0, 0, "a1")
