"""
Two desks to try a link with: a 12345 hotline and a 110 desk, each a platform with tables of its own.

``workflow`` what a desk's table of work says, ``hotline`` and ``police`` the two tables, ``script``
what people call about, ``database`` the rows, ``working`` the engine, ``running`` a desk as a program.
The ``.sql`` files are their tables, the ``.map.toml`` files link them, as any platform's are.
"""
