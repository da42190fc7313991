"""Results of a segmentation: labels, classes, their joining, criteria, agreement, phases."""
