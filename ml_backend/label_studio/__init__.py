"""Label Studio: its API, labeling configs, mask formats, images and views.

Independent of the database, the queue and the jobs."""
