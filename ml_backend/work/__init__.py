"""The worker process, which runs queued jobs and loses none to kills, signals or a lost Redis."""
