"""A process that writes drains until it is killed; it says each one that it was told is durable."""

from __future__ import annotations

import random
import sys

from exchange.store import Store
from tests.store.stories import KEY, Story, ticket_of


def main(url: str, seed: str) -> None:
    """Write for ever."""
    store = Store.open(url, KEY)
    story = Story(chance=random.Random(int(seed)))
    while True:
        opened = [story.open_ticket() for _ in range(20)]
        offers = [story.offer(ticket_of(one)) for one in opened]
        with store.writing() as writer:
            proofs = writer.record([*opened, *offers], now=story.time)
        sys.stdout.write(f"{opened[0].message.id} {proofs[-1].index}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
