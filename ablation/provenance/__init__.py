"""Where the numbers of a table come from: `explain`, `compare` and the command that repeats them.

Above `ablation.report`: tables are read from a results directory, nothing is run.
"""
