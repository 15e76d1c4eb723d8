"""
Certificates for the two networks that meet at the bridge.

The tool stands alone: it imports nothing of `exchange` and runs as ``python -m certs``.  Every
network runs its own authority; the authorities do not trust each other.  A key never leaves its
owner: the owner makes the key and a request, the authority answers with a certificate.
"""
