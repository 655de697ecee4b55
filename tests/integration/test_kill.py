"""kill -9 at any moment: what was accepted is stored, once.

LEAT_ROUNDS sets the kills of each test (20).
"""
import os
import random
import time

from leat import Leat, fact, free_port, limit
from load import Load, check_exactly_once

ROUNDS = int(os.environ.get("LEAT_ROUNDS", "20"))
# The store and the sinks come back quickly, so that a round is short.
SETTINGS = {"sinkd-postgres": {"retry_max_ms": 200}}


def rounds(kill_and_restart, mode="asan"):
    settings = {**SETTINGS, "ingestd": {"port": free_port()}}
    seed = int(os.environ.get("LEAT_SEED", random.randrange(1 << 32)))
    print(f"LEAT_SEED={seed}")
    moment = random.Random(seed)
    with Leat(mode, settings=settings) as leat, Load(leat) as load:
        for _ in range(ROUNDS):
            load.more(200)
            time.sleep(moment.uniform(0, 0.15))  # any moment
            kill_and_restart(leat)
        load.more(200)
        load.stop()
        stored = check_exactly_once(leat, load)
        fact(f"{ROUNDS} kills, {len(load.acked)} accepted, {stored} stored, "
             f"{load.statuses['lost']} requests without an answer, "
             f"{load.statuses[503]} refused")


@limit(180)
def test_batchd():
    def kill(leat):
        leat.batchd.kill()
        leat.batchd.start()
    rounds(kill)


@limit(180)
def test_ingestd():
    def kill(leat):
        leat.ingestd.kill()
        leat.ingestd.start()
    rounds(kill)


@limit(180)
def test_sinkd_postgres():
    def kill(leat):
        leat.sink["postgres"].kill()
        leat.sink["postgres"].start()
    rounds(kill)


@limit(180)
def test_postgres_immediate_stop():
    def kill(leat):
        leat.pg.stop(mode="immediate")
        leat.pg.start()
    rounds(kill)


@limit(180)
def test_everything_at_once():
    def kill(leat):
        for d in [leat.batchd, leat.ingestd, leat.sink["postgres"]]:
            d.child.kill()
        leat.pg.stop(mode="immediate")
        for d in leat.daemons():
            d.wait()
        leat.pg.start()
        leat.start()
    rounds(kill)
