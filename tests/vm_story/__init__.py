"""The story of a whole VM: key, account and host name come from nothing but our drive, and it is managed."""
