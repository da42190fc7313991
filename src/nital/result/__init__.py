"""Results of a segmentation: labels, classes, their tree, criteria, agreement, phases."""
