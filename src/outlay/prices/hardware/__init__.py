"""Own hardware: which models fit a device, how fast they run there, and what their tokens cost."""
