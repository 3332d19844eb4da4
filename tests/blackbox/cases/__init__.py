"""The cases, one file for each theme, in the order of the table."""

from . import framing  # noqa: F401
