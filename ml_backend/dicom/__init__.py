"""Radiographs from DICOM files as tasks under pseudonyms, and the way from a task back to its file."""
