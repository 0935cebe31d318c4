"""XAPI, the management interface of XenServer and XCP-ng pools, as an asyncio client speaking JSON-RPC 2.0.

`client.XapiClient` is what others use; `trust` says which servers may be given a password; `messages` reads and writes
what crosses the wire; `session` keeps one signed-in session with the pool's master; `wire` carries bytes; `faults`
turns what can go wrong into `PoolError` codes.
"""
