"""
A relay: a bridge as the platform of another (county → city → province), over gRPC.

It has no database and no signing key: the first bridge's mailbox is its spool, message ids make it
idempotent, and all that it brings was signed by others.
"""
