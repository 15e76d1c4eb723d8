"""
A platform with a JSON interface over HTTP, linked by a mapping file with an ``[http]`` section.

``parsing`` (with ``credentials``) reads that section into ``document``, ``judging`` says what an answer
means, ``calling`` calls the platform, ``giving`` gives it a record, ``asking`` asks whether it holds one, ``offering`` is the interface that
the platform calls, ``polling`` asks what it has, ``platform`` is all of it on one event loop,
``__main__`` the process; ``examples`` are mappings for systems that anybody can install.
"""
