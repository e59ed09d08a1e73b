"""Templates of files that start a cluster and run a study on it; this package makes their text.

Each file begins with how to use it, what its nodes have to share, and which ports it opens.
"""

from ablation.templates.render import render

__all__ = ["render"]
