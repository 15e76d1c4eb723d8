"""
Adapters: what stands between a platform and the exchange.

``runner`` and ``spool`` are the machinery every adapter uses; ``jsonl`` is the reference adapter, to
be read and copied; ``sqlite_desk`` is a whole small desk.  See ``README.md`` beside this file.
"""
