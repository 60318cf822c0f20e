"""Program: train a random net for 20 steps, ``python train_once.py N0 N1 N2 PATTERNS WAY``.

WAY is a key of `WAYS`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.problems import WAYS, Problem, train

if __name__ == "__main__":
    n0, n1, n2, patterns = map(int, sys.argv[1:5])
    train(Problem.random((n0, n1, n2), patterns), 20, **WAYS[sys.argv[5]])
