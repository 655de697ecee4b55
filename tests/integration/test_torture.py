"""The short form of tests/torture/run; `make torture` is the long one.

LEAT_SEED repeats a run, LEAT_FAULTS sets its length (200).  On a busy machine
it ends after five minutes, but not before three quarters of the faults.
"""
import os
import pathlib
import random
import sys

from leat import limit

FACTOR = float(os.environ.get("LEAT_TIME_FACTOR", "1"))

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "torture"))

from torture import Torture  # noqa: E402  (the path comes first)


@limit(1200)
def test_random_faults():
    """Every store exactly once, through whatever is killed."""
    wanted = int(os.environ.get("LEAT_FAULTS", "200"))
    torture = Torture(
        int(os.environ.get("LEAT_SEED", random.randrange(1 << 32))),
        mode="asan", faults=wanted, seconds=300 * FACTOR,
        at_least=wanted * 3 // 4, rate=500, fresh_s=10 * FACTOR)
    torture.run()
