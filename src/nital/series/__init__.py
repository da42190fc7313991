"""Series of micrographs that share one model: fit, predict, save, load."""
