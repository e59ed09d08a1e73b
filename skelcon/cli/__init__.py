"""``skelcon``: the data tool, and the commands for trained encoders."""
