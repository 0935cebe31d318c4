"""Roadstead's own database: pools and their credentials, the last pins of VMs, the VMs that a pool key was put into.

`client.Database` is what others use; `tables` are the rows; `vault` encrypts what is secret; `migrations` brings the
tables of any older version up to this one. SQLite by default, PostgreSQL by URL.
"""
