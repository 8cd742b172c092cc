"""Persistent state: the tables, their queries, and the store of weights.

Knows neither Label Studio nor the model's classes."""
