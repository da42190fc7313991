"""The report: one HTML file to read offline, print and sign."""
