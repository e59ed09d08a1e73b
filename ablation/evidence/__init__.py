"""What the numbers of a table rest on: seeds and tested clips, and what they say to its claims.

Below `ablation.report`: no table, no file but the predictions of units.
"""
