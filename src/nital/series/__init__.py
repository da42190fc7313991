"""Series: one model for many micrographs: fit, predict, save, load."""
