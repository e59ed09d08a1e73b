"""The user's own recordings: arrays, files or tables, read as a description says."""
