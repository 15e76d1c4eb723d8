"""
A platform's records as messages, and back: one declarative file says how.

``document`` what a mapping says, ``parsing`` and ``parsing_fields`` its way out of TOML, ``saying`` a row
becomes a message, ``hearing`` a message becomes a record, ``values`` one field of either; ``coding``,
``times``, ``cleaning``, ``mojibake``, ``expressions`` what a field needs.  ``checking`` finds what is
missing in a file, ``trying`` shows it at work on a sample, ``drafting`` proposes one.
"""
