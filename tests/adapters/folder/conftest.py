"""The bridge, the links and the desk of the folder adapter's tests."""

from tests.adapters.conftest import bridge, link
from tests.adapters.http.conftest import platform, secrets
from tests.pki import pki

__all__ = ["bridge", "link", "pki", "platform", "secrets"]
