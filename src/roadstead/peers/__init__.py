"""The only sockets to pools, guests, engines and databases: one package for each protocol, blind to each other.

Each has ``messages`` (pure codecs), ``client`` (what the rest of Roadstead calls) and ``faults`` (the border at which
errors of foreign libraries and programs become ours).
"""
