"""Roadstead's own database: pools and credentials, last pins, VMs that a pool key opens, plugin tokens, the audit.

`client.Database` is what others use; `tables` are the rows; `vault` encrypts what is secret; `migrations` brings the
tables of any older version up to this one. SQLite by default, PostgreSQL by URL.
"""
