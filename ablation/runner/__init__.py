"""Runs units: as trials of Ray Tune on a cluster, or one after another in this process."""
