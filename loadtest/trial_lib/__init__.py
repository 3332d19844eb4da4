"""What the soak and the fault campaign share: an origin that behaves as told, clients in all manners, samples, graphs."""
