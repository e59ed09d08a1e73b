"""Whether a data set can be used: a page of verdicts, one a judge.

Everything is read once, clip by clip, from the memory-mapped frames, and once more for the
fingerprint: memory does not grow with the coordinates. The writer of packed data sets refuses
some of what is looked for; a damaged or a foreign data set may still have it. A judge is a
function of a `Case`, and one line of :data:`JUDGES`.
"""

from skelcon.data.checks.finding import Finding, Findings, Verdict
from skelcon.data.checks.judging import JUDGES, check_dataset
from skelcon.data.checks.repeats import leaking_clips

__all__ = [
    "JUDGES",
    "Finding",
    "Findings",
    "Verdict",
    "check_dataset",
    "leaking_clips",
]
