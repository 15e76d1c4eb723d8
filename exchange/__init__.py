"""Hotline Exchange: the bridge between a city's 12345 hotline and its 110 police desk."""

__version__ = "0.1.0"
