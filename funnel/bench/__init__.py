"""How fast a funnel is beside what the machine could do, and how good beside simpler things; `funnel bench`.

Importing this package limits every library to one thread, so that all figures are per core; import it before NumPy.
"""

from __future__ import annotations

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
