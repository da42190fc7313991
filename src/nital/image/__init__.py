"""Images: between files and a micrograph, with its pixel size and what is left out."""
