"""The bridge and the links of the desks' tests."""

from tests.adapters.conftest import bridge, link
from tests.pki import pki

__all__ = ["bridge", "link", "pki"]
