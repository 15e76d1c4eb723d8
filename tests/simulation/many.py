"""Many seeds, in several processes: each seed is a run of its own, so any may run anywhere."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.simulation.run import Outcome, run
from tests.simulation.world import FOLDER

#: Seeds that a process is given at once.
_CHUNK = 20


def outcomes(
    seeds: range, *, steps: int, faults: float, jobs: int, joined: bool = False
) -> Iterator[Outcome]:
    """Yield the outcomes in the order of their seeds, from as many processes as *jobs*."""
    if jobs == 1:
        for seed in seeds:
            yield run(seed, steps=steps, faults=faults, joined=joined)
        return
    shm = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="exchange-simulation-", dir=shm if shm.is_dir() else None)
    os.environ[FOLDER] = folder
    chunks = [seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK)]
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        some = partial(_chunk, steps=steps, faults=faults, joined=joined)
        for found in pool.map(some, chunks):
            yield from found
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(folder, ignore_errors=True)


def _chunk(seeds: range, *, steps: int, faults: float, joined: bool) -> list[Outcome]:
    return [run(seed, steps=steps, faults=faults, joined=joined).brief() for seed in seeds]
