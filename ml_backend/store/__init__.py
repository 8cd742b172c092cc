"""Store: what survives any process. Tables, their queries, and the weights.

Knows neither Label Studio nor the model's classes."""
