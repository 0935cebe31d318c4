"""What was written into a pool survives a failover once its database was synchronised."""

from roadstead.errors import PoolError
from roadstead.peers.xapi.client import XapiClient


async def synchronise(client: XapiClient) -> None:
    """Have the pool flush its database, which it does by itself every few minutes: an account that may not ask for it
    need not. Raises `PoolError`.
    """
    try:
        await client.sync_database()
    except PoolError as error:
        if error.code != "pool-not-permitted":
            raise
