"""Output: reading and writing results, figures, exports, reports."""
