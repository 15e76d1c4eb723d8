"""
The doctor: probes a setup for real, and says of each thing found its cause and its mend.

`examine_gateway` probes what an organisation's gateway has, up to a real call to the bridge;
`examine_bridge` what a bridge has, up to its database and its port.  A probe that hangs is ended
by its own limit and reported as such; nothing that a probe does changes anything.
"""

from exchange.doctor.examination import (
    examine_bridge,
    examine_gateway,
    examine_surroundings,
)
from exchange.doctor.findings import Finding, Status

__all__ = ["Finding", "Status", "examine_bridge", "examine_gateway", "examine_surroundings"]
