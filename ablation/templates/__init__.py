"""Templates of clusters, filled from options: text in, text out. Nothing here is run or connected.

A template says what it opens inside the cluster, and what has to be shared between its nodes.
"""
