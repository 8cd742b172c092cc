"""What people ask for: publish, roll back, delete or keep a version, pause learning, try a failed job again.

The page, the API and the commands all call `ml_backend.act.asking.ask`; a worker does it.
"""
