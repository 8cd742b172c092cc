"""Score: masks and scores for tasks, their order under a query strategy, and the publication of a version.

May know the database, the queue, Label Studio and the model's segmenter; knows nothing of training."""
