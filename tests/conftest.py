"""For all tests: one thread of torch each, as units have on a CPU.

Small products on several threads mostly wait for each other, and the more so where tests run beside
each other.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported
