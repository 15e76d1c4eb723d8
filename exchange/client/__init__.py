"""
The typed client: what an adapter, the commands and the tests speak to a bridge with.

``messages`` what is said and heard, ``gateway`` the client itself, ``tickets`` and ``directory`` its
reading side, ``reader`` who does nothing but read, ``carrying`` what a relay does, ``bundles`` what a ferry writes, ``checks`` what it verifies, ``files`` its keys, ``reconciling`` what was
lost, ``calls`` deadlines and retries, ``channel`` TLS.
"""

import os

# Read once, when grpc is imported: its own lines about a failed handshake, half a screen of source
# files and addresses, would stand before the sentence that says what to do.  Who wants them sets it.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from exchange.client.attachments import CALL_BYTES
from exchange.client.bundles import (
    MAX_ACKNOWLEDGEMENTS,
    MAX_ENVELOPES,
    Bundle,
    Bundler,
    Progress,
    SealedBundle,
    readable,
)
from exchange.client.calls import Patience
from exchange.client.carrying import Answer, Carrier, Load
from exchange.client.citing import Cited, cited
from exchange.client.deciding import due_decisions
from exchange.client.files import GatewayFiles, read_certificates, read_gateway
from exchange.client.gateway import ExchangeClient
from exchange.client.keeping import from_answers, receipt_file, with_cosigned
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
from exchange.client.owing import Owed, owed_by
from exchange.client.reader import Reader
from exchange.client.reconciling import Agreement, Finding, Reconciled
from exchange.sealing import close_chunk, open_chunk

__all__ = [
    "CALL_BYTES",
    "MAX_ACKNOWLEDGEMENTS",
    "MAX_ENVELOPES",
    "AcknowledgeResult",
    "Acknowledgement",
    "Agreement",
    "Answer",
    "Bundle",
    "Bundler",
    "Carrier",
    "Cited",
    "Declined",
    "ExchangeClient",
    "Finding",
    "GatewayFiles",
    "IncomingFault",
    "IncomingItem",
    "IncomingMessage",
    "IncomingReceipt",
    "Load",
    "Noted",
    "OutgoingMessage",
    "Owed",
    "Patience",
    "Progress",
    "PushResult",
    "Reader",
    "Reconciled",
    "SealedBundle",
    "SealedMessage",
    "Sealer",
    "Written",
    "cited",
    "close_chunk",
    "derived_salts",
    "due_decisions",
    "from_answers",
    "open_chunk",
    "owed_by",
    "random_salts",
    "read_certificates",
    "read_gateway",
    "read_line",
    "read_message",
    "readable",
    "receipt_file",
    "require_whole",
    "with_cosigned",
    "with_previous",
]
