"""The samples behind the numbers of a table (seeds and tested clips), and what follows from them.

Below `ablation.report`: it knows no table, and reads no file but the predictions of units.
"""
