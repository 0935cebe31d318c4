"""Pools: which there are, and how they are reached."""

import asyncio
from functools import partial

from starlette.responses import Response

from roadstead.errors import tame
from roadstead.inventory import names, views
from roadstead.inventory.views import PoolCounts
from roadstead.model import Pool, PoolId
from roadstead.serve import answers, shapes
from roadstead.serve.bodies import HostsToSee, HostVisit, NewPool, PluginAddress, PoolEdit, ServerToProbe
from roadstead.serve.calls import Call
from roadstead.serve.handlers.parameters import Confirm, HostPart, KeepPublished, PoolName, must_confirm

FIRST_LISTING_SECONDS = 60.0
"""How long an answer waits until a pool that was added or changed is listed."""


def list_pools(call: Call) -> Response:
    """List the pools, with how they are reached and how much is in them."""
    counts = views.pool_counts(call.store)
    shown = [shapes.pool_view(call, pool, counts[pool.id]) for pool in call.store.pools.values()]
    return answers.pieces(answers.listed(shown), call.store.number)


async def probe_server(call: Call, body: ServerToProbe) -> Response:
    """Tell which certificate a server shows, before anything is sent to it."""
    return answers.record(await call.commands.pools.probe(body.url))


async def add_pool(call: Call, body: NewPool) -> Response:
    """Sign in to a pool and keep it once that worked; answers when its first listing is there.

    Without `fingerprint`, `ca_pem` or `accept_new` it is refused with `fingerprint-needed`, and no password is sent.
    """
    pool = await call.commands.pools.add(body.change())
    return answers.record(await _listed(call, pool), 201)


def show_pool(call: Call, pool: PoolName) -> Response:
    """Show one pool."""
    return answers.record(_shown(call, names.find_pool(call.store, pool)))


async def change_pool(call: Call, pool: PoolName, body: PoolEdit) -> Response:
    """Change how a pool is reached, after that was tried, or which addresses of its guests may be used."""
    changed = await call.commands.pools.change(_id(call, pool), body.change())
    return answers.record(await _listed(call, changed))


async def remove_pool(
    call: Call, pool: PoolName, confirm: Confirm = "", *, keep_published: KeepPublished = False
) -> Response:
    """Forget a pool. What was published in it is taken away before, as far as the pool lets us; VMs stay enabled."""
    found = names.find_pool(call.store, pool)
    must_confirm(confirm, found.id, f"forget the pool {tame(found.name)} and its password")
    return answers.record(await call.commands.pools.remove(found.id, keep_published=keep_published))


async def test_pool(call: Call, pool: PoolName) -> Response:
    """Sign in to a pool anew and tell how each step went."""
    steps = await call.commands.pools.test(_id(call, pool))
    return answers.record(shapes.PoolTest(ok=all(step.ok for step in steps), steps=steps))


async def show_plugin(call: Call, pool: PoolName) -> Response:
    """Show how the pool's plugin stands with this server: what the pool names, and whether that is right."""
    return answers.record(await call.commands.plugin_access.state(_id(call, pool)))


async def enable_plugin(call: Call, pool: PoolName, body: PluginAddress | None = None) -> Response:
    """Tell the pool where its plugin calls this server, with a new token; a former token is no longer valid."""
    url = body.url if body is not None else None
    return answers.record(await call.commands.plugin_access.enable(_id(call, pool), url))


async def disable_plugin(call: Call, pool: PoolName) -> Response:
    """Let the pool's plugin call this server no more; what the pool was told is removed."""
    return answers.record(await call.commands.plugin_access.disable(_id(call, pool)))


async def look_at_hosts(call: Call, pool: PoolName, body: HostsToSee | None = None) -> Response:
    """Tell which SSH host key each host of the pool shows; nobody signs in, and nothing is sent to them."""
    port = (body or HostsToSee()).port
    return answers.record(await call.commands.plugin_hosts.look(_id(call, pool), port))


async def work_on_host(call: Call, pool: PoolName, host: HostPart, body: HostVisit) -> Response:
    """Sign in to a host of the pool as root, and install the plugin there, uninstall it, or look what is there.

    The host must show the key that is named, or nothing is sent to it. What is given to sign in is used this once and
    is kept nowhere. Doing it again changes nothing.
    """
    return answers.record(await call.commands.plugin_hosts.work(_id(call, pool), host, body.visit()))


def _id(call: Call, name: str) -> PoolId:
    return names.find_pool(call.store, name).id


def _shown(call: Call, pool: Pool) -> shapes.PoolView:
    return shapes.pool_view(call, pool, views.pool_counts(call.store).get(pool.id, PoolCounts()))


async def _listed(call: Call, pool: Pool) -> shapes.PoolView:
    """Wait until the pool's events reach us or it is clear that they do not; return what is then known of it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + FIRST_LISTING_SECONDS
    readers, feed = call.services.readers, call.services.feed
    while (left := until - loop.time()) > 0 and not readers.stopping:
        known = call.store.pools.get(pool.id, pool)
        if known.live or known.problem is not None:
            break
        await readers.wait(partial(feed.wait, feed.number), left)
    return _shown(call, call.store.pools.get(pool.id, pool))
