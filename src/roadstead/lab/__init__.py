"""The embedded lab: a XAPI-compatible pool with guests, so that everything can be tried, shown, tested and measured
on a machine without any hypervisor.  It stands in for the outside world and therefore shares no code with the
clients that it serves.
"""
