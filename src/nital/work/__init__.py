"""Work: many files and many runs: jobs, studies, batches, a cluster."""
