"""The page of the service at / and the API under /api: what is known of each project, and what can be done.

Everything comes from the database, Redis and the cache of images; no request to the page asks Label Studio.
"""
