"""Templates that start a cluster and run a study on it; this package only makes their text.

Each text begins with how to use it, what its nodes have to share, and what it opens to the network.
"""

from ablation.templates.render import render

__all__ = ["render"]
