"""
Records of a platform that has no tables to share: kept beside the adapter, and mapped like a table's.

A platform that is spoken to over HTTP, or that drops files, cannot be read row by row.  What it gives
is therefore taken into a small database of the adapter's, which ``adapters.table`` then reads and
writes like any platform's.  ``records`` takes what the platform says, ``handing`` tells the platform
what came before it is said to be written, ``doubting`` notes what it may have lost, ``platform`` is all
of it for the runner, ``process`` the process.
"""
