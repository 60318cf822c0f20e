"""Before NumPy is imported: workers share the cores, so each calls BLAS on one thread."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
