"""Images: reading micrographs with their pixel size and excluded area, and label maps."""
