"""What the certificates of a VM are like that are to be renewed: where nothing else is said, the new ones are alike.

For which addresses they are stands in the engine's own, which is not kept: an engine that is not reached with those
that are stored (they ended, say) gets new ones for the addresses at which it is called.
"""

from datetime import timedelta

from cryptography import x509

from roadstead.act.pool_database.secrets import vm_secrets
from roadstead.act.pools.pool import PoolKeeper
from roadstead.act.preparing.tls_trials import TlsTrials
from roadstead.artifacts.certificates import MOST_DAYS, is_ours
from roadstead.errors import LinkError
from roadstead.kit import certificates
from roadstead.model import Vm, config_keys
from roadstead.plan.access import tls_access_of, tls_missing


async def addresses(vm: Vm, keeper: PoolKeeper, trials: TlsTrials) -> tuple[str, ...]:
    """Return for which addresses the engine's certificate is; none where that is not known, or where ``vm`` is called
    at others now. Raises `PoolError`, and `LinkError` as `TlsTrials.addresses` does.
    """
    proof = await trials.in_use(vm, keeper)
    former = proof.addresses if proof is not None else ()
    return former if set(former) & set(trials.addresses(vm, keeper)) else ()


async def is_imported(vm: Vm, keeper: PoolKeeper) -> bool:
    """Whether the certificates of ``vm`` were made elsewhere, as far as its own can be read; those of the old pack are
    made to be replaced. Raises `PoolError`.
    """
    try:
        if tls_missing(vm) or tls_access_of(vm).is_legacy:
            return False
        return not is_ours(await _ours(vm, keeper))
    except (LinkError, certificates.UnreadableError):
        return False


async def days(vm: Vm, keeper: PoolKeeper) -> int | None:
    """Return for how many days our certificate was made, at most `MOST_DAYS`; None where that is not known, and for
    those of the old pack, which were made for too few. Raises `PoolError`.
    """
    try:
        if tls_access_of(vm).is_legacy:
            return None
        ours = await _ours(vm, keeper)
    except (LinkError, certificates.UnreadableError):
        return None
    length = ours.not_valid_after_utc - ours.not_valid_before_utc
    return min(max(round(length / timedelta(days=1)), 1), MOST_DAYS)


async def _ours(vm: Vm, keeper: PoolKeeper) -> x509.Certificate:
    (pem,) = await vm_secrets(keeper.client, vm, [config_keys.TLS_CLIENT_CERT])
    return certificates.read_pem(pem)[0]
