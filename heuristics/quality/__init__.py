"""The quality factor: caps that shrink when the simulated latency is over its target."""
