"""The parts of the soak: its stand, its clients, and the changes made under them."""
