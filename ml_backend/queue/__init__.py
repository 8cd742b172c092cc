"""Queue: which jobs there are, how they are requested, and what each of them works with.

Knows RQ and Redis, but none of the functions that do the work: these register themselves with `@job`."""
