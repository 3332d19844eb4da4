"""The cases, one file for each theme, in the order of the table."""

from . import framing, target, h2_frames, downgrade, responses, hop_by_hop, semantics, retries, aborts, tls, attacks  # noqa: F401, I001
