"""
A child of the demo dies with its parent, however the parent ends.

``python -m exchange.demo.leash FD MODULE ARGUMENTS…`` runs MODULE as a program while a thread waits
at the pipe FD.  The parent alone holds the pipe's other end, so that it closes when the parent is
gone, SIGKILL included; then the child ends at once.  (A signal on the parent's death, as Linux
offers, follows the parent's thread and does not exist elsewhere.)
"""

from __future__ import annotations

import os
import runpy
import sys
import threading

#: The exit code of a child whose parent is gone.
ORPHANED = 75


def main(arguments: list[str]) -> None:
    """Run the module that *arguments* name, on the leash."""
    end, module, *rest = arguments
    threading.Thread(target=_wait, args=(int(end),), daemon=True, name="leash").start()
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _wait(end: int) -> None:
    os.read(end, 1)
    os._exit(ORPHANED)


if __name__ == "__main__":
    main(sys.argv[1:])
