"""How fast the stages are, measured the same way on any machine: as ratios to reading and writing the same rows."""
