"""For all tests: one thread of linear algebra each, as the command has it. Read when numpy and torch are imported."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
