"""
The only converter between the contract's protobuf and this program's types.

``headers`` messages in and out, ``fields`` the field rules, ``content`` field groups as plain
Python, ``receipts`` receipts and refusals, ``tickets`` what the reading side answers.
"""
