"""The web service that Label Studio calls: it records what arrives, requests jobs and answers at once.

It never runs a job itself."""
