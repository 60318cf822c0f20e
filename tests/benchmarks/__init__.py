"""Time neurosim against yardsticks: ``python -m tests.benchmarks [NAME ...]``.

neurosim and every yardstick take turns in one process tree, on one core, with one thread each, so
that a busy machine slows both alike. The reported figure is the median of the paired ratios. No
time is asserted, but a yardstick that does not compute neurosim's trajectory is an error. A
benchmark is a module with a function ``measure(setting)`` that yields `timing.Row`s. Start at
`__main__.NAMES`.
"""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # read when NumPy is first imported, so it stands here
