"""Job queues: the kinds of jobs, how they are requested, and the context that each job gets.

Uses RQ and Redis. Imports none of the functions that do the work: they register themselves with `@job`."""
