"""Set the environment before NumPy is imported and before anything is compiled.

Workers share the cores, so each calls BLAS on one thread. Programs are compiled without
optimisation, which takes a third less time; `test_backends` compiles them as users do.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NEUROSIM_OPTIMIZE", "0")
