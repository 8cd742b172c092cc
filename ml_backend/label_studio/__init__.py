"""Label Studio: its API, labeling configs, mask formats, images and views.

Knows no database, no queue and no job."""
