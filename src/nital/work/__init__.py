"""Work on files and on many runs: jobs, studies, batches, a cluster."""
