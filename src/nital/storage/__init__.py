"""Storage: atomic writing of files, journals, tables."""
