"""Convert networks to NIR, the format in which neuromorphic tools exchange graphs, and back.

`networks` converts, `graph` reads the nodes and edges. Start at `to_nir`.
"""

from neurosim.nir.networks import from_nir as from_nir
from neurosim.nir.networks import time_constants as time_constants
from neurosim.nir.networks import to_nir as to_nir
