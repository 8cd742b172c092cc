"""Hear: the web service that Label Studio calls; it notes what arrives and answers at once.

Knows how to request jobs, never how they are done."""
