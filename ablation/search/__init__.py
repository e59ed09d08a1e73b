"""Hyper-parameter search: a space -> trials under Ray Tune -> a record -> the best, and why."""
