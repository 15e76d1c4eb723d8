"""
A whole small desk, 12345 or 110, whose platform is one SQLite database.

``tables`` its database, ``forms`` what its people write, ``course`` what messages do to its hand-offs,
``desk`` the desk itself, ``commands`` the process: JSON lines in, JSON lines out.
"""

from adapters.sqlite_desk.desk import Desk, Office, Said

__all__ = ["Desk", "Office", "Said"]
