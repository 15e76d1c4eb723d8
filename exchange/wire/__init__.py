"""
The only converter between the contract's protobuf and this program's types.

``calls`` whole requests, ``headers`` messages in and out, ``groups`` the field groups beside them,
``conditions``, ``checks`` and ``fields`` the field rules (proved quickly, or asked of protovalidate
and worded),
``content`` field groups as plain Python, ``receipts`` receipts and refusals, ``receipt_files`` the
files that prove them, ``tickets`` and ``directory`` what the reading side answers.
"""
