"""The parts of the synthetic event generator; `tuning.generate` is the way in."""
