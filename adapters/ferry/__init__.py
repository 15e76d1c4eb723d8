"""
A ferry: joins two bridges by files alone, over a one-way gap (网闸、光闸) or two of them.

What a relay does over gRPC, a pair of ferries does with signed, numbered bundles: one beside each
bridge, hours apart if need be.
"""
