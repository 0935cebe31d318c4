"""All commands of ``roadstead``: those of `cli`, and those that start something.

Whatever is slow to import is imported inside the command that needs it: most invocations only ask a running server.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from roadstead.cli.main import app, run
from roadstead.lab import verbs
from roadstead.settings import places

STARTING = "Start something"
GuestKind = Literal["simulated", "real", "none"]
Hosts = Annotated[int, typer.Option(help="How many hosts the pool has.")]
PoolPort = Annotated[int, typer.Option(help="The port on which all hosts of the pool answer.")]
LabState = Annotated[
    Path | None,
    typer.Option(help="The lab's folder, unless it stands before. [default: .lab/pool]", show_default=False),
]
OwnVms = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[=ADDRESS[,ADDRESS…][@USER]]",
        help="A VM for a guest of your own, which announces these, or nothing yet; repeatable.",
    ),
]
Windows = Annotated[
    int, typer.Option(help="How many more VMs with the engine of Windows Server, over TLS and simulated.")
]
Raw = Annotated[
    int, typer.Option(help="How many more VMs that nobody has prepared; their user core has the pool's password.")
]
Plugins = Annotated[list[Path] | None, typer.Option(metavar="FILE", help="A plugin of the hosts; repeatable.")]
Rate = Annotated[float, typer.Option(metavar="EVENTS/S", help="Changes that containers make by themselves, in all.")]

SecondPool = Annotated[
    int, typer.Option(metavar="N", help="Run a second pool with this many VMs, too; `lab do bring` moves one over.")
]

lab = typer.Typer(invoke_without_command=True, rich_markup_mode=None, help="Run a pool to try things on.")
app.add_typer(lab, name="lab", rich_help_panel=STARTING)


def main() -> None:
    """Run the command line."""
    run()


@app.command(rich_help_panel=STARTING)
def serve(  # noqa: PLR0913, PLR0917 - one parameter for each option
    state: Annotated[Path | None, typer.Option(help="The state folder.", show_default=False)] = None,
    socket: Annotated[Path | None, typer.Option(help="The local socket to listen on.", show_default=False)] = None,
    port: Annotated[int, typer.Option(help="The port to listen on, on 127.0.0.1.", max=65535)] = places.DEFAULT_PORT,
    loopback: Annotated[bool, typer.Option(help="Listen on 127.0.0.1 besides the local socket.")] = True,
    engine: Annotated[
        list[str] | None, typer.Option(metavar="unix:PATH", help="Watch an engine of this machine, too; repeatable.")
    ] = None,
    plugin_listen: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS:PORT",
            help="Also listen here for the plugin in pools' hosts, with TLS; the usual port is 8421.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="The settings file.", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when clients can connect.")] = False,
) -> None:
    """Run the server that the other commands ask.

    \b
    Examples:
      roadstead serve
      roadstead serve --engine unix:/var/run/docker.sock      also the containers of this machine
      roadstead serve --plugin-listen 192.0.2.7:8421          XenCenter and Xen Orchestra may act through us
    """
    from roadstead.app import process, starting

    settings = starting.settings(config)
    process.start_logging(settings.runtime)
    listen = settings.plugin.listen if plugin_listen is None else plugin_listen
    chosen = starting.serve_options(state, socket, port if loopback else None, engine or [], listen)
    starting.run_server(chosen, settings, as_json=json)


@lab.callback()
def lab_run(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    state: Annotated[Path, typer.Option(help="The lab's folder.")] = Path(".lab/pool"),
    hosts: Hosts = 3,
    vms: Annotated[int, typer.Option(help="How many VMs the pool has.")] = 5,
    containers: Annotated[int, typer.Option(help="How many containers each VM has.")] = 20,
    guests: Annotated[GuestKind, typer.Option(help="What is inside the VMs; real ones need root.")] = "simulated",
    windows: Windows = 0,
    raw: Raw = 0,
    rate: Rate = 0.0,
    port: PoolPort = 8443,
    seed: Annotated[int, typer.Option(help="Another seed gives other containers.")] = 0,
    vm: OwnVms = None,
    plugin: Plugins = None,
    conformance: Annotated[bool, typer.Option("--conformance", help="Hold what tests/data/xapi/probe needs.")] = False,
    historic: Annotated[bool, typer.Option("--historic", help="Hold the keys that the xscontainer pack left.")] = False,
    second_pool: SecondPool = 0,
    profile: Annotated[str, typer.Option(metavar="8.2|8.3|current", help="The release to pass for.")] = "current",
    network: Annotated[str, typer.Option(help="Where real guests get their addresses from.")] = "10.213.0.0/16",
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when the lab is ready.")] = False,
) -> None:
    """Run an XAPI-compatible pool with VMs and guests, for trying, showing, testing and measuring.

    \b
    Examples:
      roadstead lab --vms 50 --rate 10
      roadstead lab --windows 2                               also VMs whose engine is reached over TLS
      roadstead lab --raw 2                                   also VMs to try `roadstead prepare` on
      roadstead lab --guests none --vm mine=192.0.2.7@admin
      roadstead lab --second-pool 2 --historic                then: roadstead lab do bring queue-101
      roadstead lab do stop web-1                             act on the running lab
    """
    from roadstead.app import ordering

    if ctx.invoked_subcommand is not None:
        ordering.refuse_options(ctx, but="state")
        return
    from roadstead.app import labs
    from roadstead.lab.main import LabOptions

    chosen = LabOptions(
        state=state,
        hosts=hosts,
        vms=vms,
        containers=containers,
        guests=guests,
        windows=windows,
        raw=raw,
        rate=rate,
        port=port,
        seed=seed,
        vm=tuple(vm or ()),
        plugin=tuple(plugin or ()),
        conformance=conformance,
        historic=historic,
        second=second_pool,
        profile=profile,
        network=network,
        json=json,
    )
    labs.run(chosen)


@lab.command("do", epilog=verbs.told())
def lab_do(
    ctx: typer.Context,
    verb: Annotated[
        str, typer.Argument(metavar="VERB", show_default=False, help="What is to be done: one of the verbs below.")
    ],
    vm: Annotated[
        str,
        typer.Argument(metavar="VM", show_default=False, help="The VM's name or uuid, or what the verb takes first."),
    ] = "",
    value: Annotated[
        str | None,
        typer.Argument(metavar="VALUE", show_default=False, help="What the verb takes besides."),
    ] = None,
    state: LabState = None,
) -> None:
    """Act on a running lab: on its VMs, or on the pool itself.

    \b
    Examples:
      roadstead lab do stop web-1
      roadstead lab do migrate web-1 2                        to the second host
      roadstead lab do address web-1 127.89.0.77
      roadstead lab do config web-1                           its other_config
      roadstead lab do config web-1 xscontainer-username=ops  sets a key of it; the key alone removes it
    """
    from roadstead.app import ordering

    ordering.do(ordering.folder(ctx, state), verb, vm, value)


@lab.command("enter", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def lab_enter(
    ctx: typer.Context,
    vm: Annotated[str, typer.Argument(metavar="VM", show_default=False, help="The VM's name or uuid.")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND…", show_default=False, help="A shell if none is given.")
    ] = None,
    state: LabState = None,
) -> None:
    """Run a command or a shell in a real guest.

    It runs as root, inside a guest of a running lab. Options stand before the VM's name: what comes after it belongs
    to the command.

    \b
    Examples:
      roadstead lab enter web-1
      roadstead lab enter web-1 docker pause web
      roadstead lab enter web-1 docker run -d --name mine lab/busybox:1 sleep 1000
      roadstead lab enter web-1 ip link set eth0 down         pull its network cable; `up` puts it back
    """
    from roadstead.app import ordering

    ordering.enter(ordering.folder(ctx, state), vm, command or [])


@app.command(rich_help_panel=STARTING)
def demo(  # noqa: PLR0913, PLR0917 - one parameter for each option
    state: Annotated[Path, typer.Option(help="Where it keeps everything.")] = Path(".lab"),
    guests: Annotated[
        Literal["auto", "real", "simulated"], typer.Option(help="What is inside the VMs; auto: real where possible.")
    ] = "auto",
    hosts: Hosts = 3,
    vms: Annotated[int | None, typer.Option(help="How many VMs.", show_default="3 real or 5 simulated")] = None,
    containers: Annotated[
        int | None, typer.Option(help="How many containers each VM has.", show_default="5 real or 8 simulated")
    ] = None,
    windows: Windows = 1,
    raw: Raw = 1,
    rate: Rate = 0.5,
    port: PoolPort = 8443,
    api_port: Annotated[int, typer.Option(help="The port of Roadstead's API.")] = places.DEFAULT_PORT,
) -> None:
    """Show Roadstead at work: a lab, a server and a live table.

    The pool is its own; Ctrl-C ends everything.

    \b
    Examples:
      roadstead demo
      roadstead demo --guests simulated --vms 20
    """
    from roadstead.app import labs
    from roadstead.app.demo import DemoOptions, run_demo

    kind = labs.guest_kind(guests, state / "pool")
    is_real = kind == "real"
    options = DemoOptions(
        state=state.absolute(),
        guests=kind,
        hosts=hosts,
        vms=vms or (3 if is_real else 5),
        containers=containers or (5 if is_real else 8),
        windows=windows,
        raw=raw,
        rate=rate,
        port=port,
        api_port=api_port,
    )
    run_demo(options)
