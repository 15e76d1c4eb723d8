"""
A witness: a small program of one network that watches logs and co-signs what it saw.

``settings`` what it is told, ``memory`` what it has seen (durable before it signs), ``judging`` whether a
head grew out of that, ``watching`` the steps in their order, ``calling`` the bridge over gRPC, ``carrying``
the same as files over the gap, ``evidence`` two heads of one log that contradict each other.
"""
