"""For all tests: one thread of linear algebra each, as the command has it, and the same hypothesis examples every time.

Examples are judged by what they show, not by how long a busy machine takes over them. To search further than the fixed
ones: WAGGLE_TEST_HYPOTHESIS=search.
"""

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy and torch are imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", settings.get_profile("search"), derandomize=True, database=None)
settings.load_profile(os.environ.get("WAGGLE_TEST_HYPOTHESIS", "fixed"))
