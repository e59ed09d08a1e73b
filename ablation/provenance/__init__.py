"""Where numbers come from: `explain`, `compare`, and the command that reproduces them.

Above `ablation.report`: it reads tables from a results directory and runs nothing.
"""
