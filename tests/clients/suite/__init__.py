"""What the checks stand on: how they run, Weir, the origins behind it, certificates."""
