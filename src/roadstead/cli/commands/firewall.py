"""`roadstead firewall`: rules for the way between management and guests, and whether they do what they should."""

from typing import Annotated, Any, Literal

import typer

from roadstead.cli import completion, options, session

Dialect = Annotated[
    Literal["nft", "iptables", "firewalld", "windows"] | None,
    typer.Argument(
        metavar="DIALECT",
        show_default=False,
        help="What the rules are for: `nft`, `iptables`, `firewalld` or `windows`.",
    ),
]
Place = Annotated[
    Literal["router", "guest", "dom0"] | None,
    typer.Option(show_default=False, help="Where they will stand; firewalld and windows know only `guest`."),
]
Pool = Annotated[
    str | None,
    typer.Option(
        metavar="POOL", show_default=False, autocompletion=completion.pools, help="For this pool. [default: all pools]"
    ),
]
VmName = Annotated[
    str | None,
    typer.Option(metavar="VM", show_default=False, autocompletion=completion.vms, help="For this VM alone."),
]
Management = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NETWORK", help="Management, instead of the networks of the pool's hosts and Roadstead; repeatable."
    ),
]
Guests = Annotated[
    list[str] | None,
    typer.Option(metavar="NETWORK", help="Guests, instead of the addresses that VMs announce; repeatable."),
]
Dns = Annotated[
    list[str] | None,
    typer.Option(metavar="ADDRESS", help="A DNS server in the management network that guests may ask; repeatable."),
]
Ntp = Annotated[
    list[str] | None,
    typer.Option(metavar="ADDRESS", help="An NTP server in the management network that guests may ask; repeatable."),
]
Icmp = Annotated[
    bool,
    typer.Option("--icmp", help="Let ICMP errors pass that belong to a connection (`fragmentation needed` is one)."),
]
Strangers = Annotated[
    Literal["drop", "pass"],
    typer.Option(help="On a router: what is between management or guests and anybody else."),
]
Undo = Annotated[bool, typer.Option("--undo", help="Print what takes the rules away.")]
Check = Annotated[
    bool, typer.Option("--check", help="Print no rules; let the server try what is open at the VMs and what is not.")
]


def firewall(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    dialect: Dialect = None,
    place: Place = None,
    pool: Pool = None,
    vm: VmName = None,
    management: Management = None,
    guests: Guests = None,
    dns: Dns = None,
    ntp: Ntp = None,
    icmp: Icmp = False,
    strangers: Strangers = "drop",
    undo: Undo = False,
    check: Check = False,
    format: options.Format = "table",
) -> None:
    """Print or check firewall rules between management and guests.

    Management opens connections to guests (TCP 22 and 2376), guests only answer; all else between them is dropped.

    With --check the server, from which the links come, tries the ports of managed VMs; the exit code is 0 when all is
    as it should be, 4 when it is not at some VMs, 1 when it is at none.

    Examples:
      roadstead firewall nft --place router --pool prod > router.nft
      roadstead firewall iptables --place guest --vm web1 --dns 10.0.0.53 | ssh root@web1 sh
      roadstead firewall windows --place guest --vm win1 --icmp > win1.ps1
      roadstead firewall nft --undo | ssh root@router nft -f -
      roadstead firewall --check --pool prod
    """
    connected, scope = session.connect(ctx), {"pool": pool, "vm": vm}
    from roadstead.cli.commands import firewalls

    if check:
        firewalls.check(connected, scope, format)
        return
    if dialect is None:
        raise typer.BadParameter(
            "say nft, iptables, firewalld or windows (what the rules are for), or --check",
            ctx=ctx,
            param_hint="DIALECT",
        )
    if place is None and not undo:
        places = "router, guest or dom0" if dialect in {"nft", "iptables"} else "guest"
        raise typer.BadParameter(f"say where the rules will stand: --place {places}", ctx=ctx, param_hint="--place")
    wanted: dict[str, Any] = {
        **scope,
        "dialect": dialect,
        "place": place,
        "undo": undo,
        "management": management or [],
        "guests": guests or [],
        "dns": dns or [],
        "ntp": ntp or [],
        "icmp": icmp,
        "strangers": strangers,
    }
    firewalls.write(connected, wanted)
