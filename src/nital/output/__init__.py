"""Output: results on the disk and back, pictures, exports, reports."""
