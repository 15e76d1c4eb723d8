"""Running the exchange: units, a compose file, and what machines it needs."""
