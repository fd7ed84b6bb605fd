"""The package's version."""

__version__ = "4.0.0a1"
version_info = (4, 0, 0, "a1")
