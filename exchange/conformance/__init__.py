"""
The conformance kit: a black box that plays the counterpart over real mutual TLS, and judges.

``cases`` what a case is, ``table`` all of them, ``capabilities`` what the program under test can,
``ground`` the kit's own test authorities, ``party`` a platform that the kit plays, ``edge`` the bridge
that it plays, ``program`` the program under test, ``adapter`` one beside a platform, ``relay_stage`` one
between two bridges, ``judge`` the run, ``report`` what is signed in the end.
"""
