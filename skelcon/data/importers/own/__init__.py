"""Somebody's own recordings: arrays, files or tables, as a description says what they are."""
