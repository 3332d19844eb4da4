"""The parts of the fault campaign: its stand, its clients, a name server, and the faults."""
