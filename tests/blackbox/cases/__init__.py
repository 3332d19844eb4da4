"""The cases, one file for each theme, in the order of the table."""

from . import framing, target, responses  # noqa: F401, I001
