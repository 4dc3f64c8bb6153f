"""Where and how many runs at a time: in this process, in local processes, on Slurm."""
