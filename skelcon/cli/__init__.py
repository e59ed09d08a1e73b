"""``skelcon``: the data tool, and what is done with trained encoders."""
