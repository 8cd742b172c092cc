"""The talking floor: Label Studio, HTTP, the queue, the database and the command line."""
