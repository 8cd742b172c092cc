"""Work: the worker process, which runs the queued jobs and survives kills, signals and a lost Redis."""
