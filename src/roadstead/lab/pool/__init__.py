"""The lab's pool: a server that behaves like the XAPI of a XenServer or XCP-ng pool, for clients of any origin."""
