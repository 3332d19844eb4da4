"""The cases, one file for each theme, in the order of the table."""

from . import framing, target, responses, hop_by_hop, semantics, retries, aborts  # noqa: F401, I001
