"""
A platform that can only read and write its own tables (前置库、中间库), linked by a mapping file alone.

``database`` its tables and the few that the adapter adds, ``outgoing`` rows become messages, ``incoming``
messages become rows, ``platform`` both as an adapter for the runner, ``__main__`` the process.
"""
