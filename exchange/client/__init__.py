"""
The typed client: what an adapter, the commands and the tests speak to a bridge with.

``messages`` what is said and heard, ``gateway`` the client itself, ``tickets`` and ``directory`` its
reading side, ``checks`` what it verifies, ``files`` its keys, ``reconciling`` what was
lost, ``calls`` deadlines and retries, ``channel`` TLS.
"""

import os

# Read once, when grpc is imported: its own lines about a failed handshake, half a screen of source
# files and addresses, would stand before the sentence that says what to do.  Who wants them sets it.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from exchange.client.calls import Patience
from exchange.client.files import GatewayFiles, read_certificates, read_gateway
from exchange.client.gateway import ExchangeClient
from exchange.client.keeping import from_answers, receipt_file
from exchange.client.lines import read_line, read_message, require_whole
from exchange.client.messages import (
    Acknowledgement,
    AcknowledgeResult,
    Declined,
    IncomingFault,
    IncomingItem,
    IncomingMessage,
    IncomingReceipt,
    Noted,
    OutgoingMessage,
    PushResult,
    SealedMessage,
    Sealer,
    Written,
    derived_salts,
    random_salts,
    with_previous,
)
from exchange.client.reconciling import Agreement, Finding, Reconciled

__all__ = [
    "AcknowledgeResult",
    "Acknowledgement",
    "Agreement",
    "Declined",
    "ExchangeClient",
    "Finding",
    "GatewayFiles",
    "IncomingFault",
    "IncomingItem",
    "IncomingMessage",
    "IncomingReceipt",
    "Noted",
    "OutgoingMessage",
    "Patience",
    "PushResult",
    "Reconciled",
    "SealedMessage",
    "Sealer",
    "Written",
    "derived_salts",
    "from_answers",
    "random_salts",
    "read_certificates",
    "read_gateway",
    "read_line",
    "read_message",
    "receipt_file",
    "require_whole",
    "with_previous",
]
