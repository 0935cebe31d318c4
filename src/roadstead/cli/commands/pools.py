"""`roadstead pool`: which hypervisor pools are known, and how they are signed in to."""

from pathlib import Path
from typing import Annotated

import typer

from roadstead.cli import helping, options, session
from roadstead.cli.commands import plugins, pool_keys
from roadstead.cli.display import output

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make pools known, change, test and remove them.")
app.add_typer(pool_keys.app, name="key")
app.add_typer(plugins.app, name="plugin")

User = Annotated[
    str | None,
    typer.Option(
        "--user", "-u", metavar="NAME", help="The account to sign in with; asked for on a terminal, otherwise root."
    ),
]
PasswordFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Read the password from this file; `-` is standard input.")
]
KeepPublished = Annotated[
    bool,
    typer.Option(
        "--keep-published",
        help="Leave in the pool what XenCenter and Xen Orchestra are shown of containers, and alerts.",
    ),
]
Fingerprint = Annotated[
    str | None, typer.Option(metavar="SHA256", help="Trust the certificate that has this SHA-256 fingerprint.")
]
CaFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Trust certificates of this authority (PEM).")]
Admit = Annotated[
    list[str] | None,
    typer.Option(metavar="NETWORK", help="Guests may have addresses here although they would be refused; repeatable."),
]
Only = Annotated[
    list[str] | None, typer.Option(metavar="NETWORK", help="Guests are reached in these networks only; repeatable.")
]

Publish = Annotated[
    str | None,
    typer.Option(
        metavar="on|off|tag:NAME",
        help="What XenCenter and Xen Orchestra are shown: all VMs, none, or those with a tag.",
    ),
]

Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host", metavar="HOST", help="Only this host (name, address or id); repeatable.", show_default=False
    ),
]
HostKeys = Annotated[
    list[str] | None,
    typer.Option(
        "--host-key",
        metavar="HOST=SHA256:…",
        help="A host's SSH host key, so that it is not asked for; repeatable.",
        show_default=False,
    ),
]
RootPasswordFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Read root's password from this file; `-` is standard input.")
]
RootKeyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Sign in with this private key instead of a password.")
]
SshPort = Annotated[int, typer.Option(metavar="PORT", min=1, max=65535, help="Where the hosts' SSH servers listen.")]


@helping.command(app)
def add(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", show_default=False, help="https://HOST of the master; of any host with --ca-file."
        ),
    ],
    user: User = None,
    password_file: PasswordFile = None,
    fingerprint: Fingerprint = None,
    ca_file: CaFile = None,
    accept_new: Annotated[bool, typer.Option("--accept-new", help="Trust whatever certificate is shown now.")] = False,
    admit: Admit = None,
    only: Only = None,
    publish: Publish = None,
) -> None:
    """Make a pool known: its certificate is shown and confirmed before any password is asked for or sent.

    Examples:
      roadstead pool add https://pool.example.net
      roadstead pool add https://10.0.0.5 --user rs --password-file rs.pw --ca-file ca.pem
      pass show pool | roadstead pool add https://10.0.0.5 --password-file - --accept-new
    """
    from roadstead.cli.commands import adding

    _check_one(ca_file, fingerprint, accept_new or None)
    trust = adding.Trust(fingerprint, ca_file, accept_new)
    sign_in = adding.SignIn(user, password_file)
    adding.add(session.connect(ctx), url, trust, sign_in, adding.Shown(admit or [], only or [], publish=publish))


@helping.command(app, "set")
def change(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    pool: options.PoolName,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Another address of the pool.")] = None,
    user: User = None,
    password_file: PasswordFile = None,
    fingerprint: Fingerprint = None,
    ca_file: CaFile = None,
    admit: Admit = None,
    only: Only = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="Neither admit nor hold to this network any more; repeatable."),
    ] = None,
    publish: Publish = None,
) -> None:
    """Change how a pool is signed in to, its guests' networks, and what it publishes. What is not named stays.

    Examples:
      roadstead pool set lab --admit 127.89.0.0/16
      roadstead pool set lab --user rs
      roadstead pool set lab --publish tag:show-containers
      roadstead pool set lab --fingerprint 4F:2A:…
    """
    from roadstead.cli.commands import adding

    _check_one(ca_file, fingerprint)
    wanted = adding.Changes(url, adding.SignIn(user, password_file), adding.Trust(fingerprint, ca_file))
    adding.change(session.connect(ctx), pool, wanted, adding.Shown(admit or [], only or [], drop or [], publish))


def _check_one(*trust: object) -> None:
    """Refuse several ways of trust at once: one of them would not count, and nobody could say which."""
    if sum(way is not None for way in trust) > 1:
        raise typer.BadParameter("one of --ca-file, --fingerprint and --accept-new is enough", param_hint="--ca-file")


@helping.command(app, "list")
def show_all(
    ctx: typer.Context,
    format: Annotated[
        options.ListFormat, typer.Option("--format", help="A table, one with ids, or JSON for programs.")
    ] = "table",
) -> None:
    """List the pools that are known.

    Examples:
      roadstead pool list
      roadstead pool list --format wide                       with their ids
    """
    waiting = session.connect(ctx).ask("/pools")
    if format == "json":
        output.write_json(waiting.raw())
        return
    from roadstead.cli.display import poolrows

    if not poolrows.write(waiting, wide=format == "wide"):
        from roadstead.cli.display import empty

        empty.pools()


@helping.command(app)
def remove(
    ctx: typer.Context, pool: options.PoolName, keep_published: KeepPublished = False, yes: options.Yes = False
) -> None:
    """Forget a pool and its password. What was published in it, alerts, and what its plugin was told are taken away.

    All else there stays: its keys, also both during a rotation, and messages about actions that failed. A pool that
    does not answer is forgotten all the same, and what stays in it is told.

    Examples:
      roadstead pool remove lab
      roadstead pool remove lab --keep-published --yes
    """
    from roadstead.cli.commands import adding

    adding.remove(session.connect(ctx), pool, keep_published=keep_published, yes=yes)


@helping.command(app)
def test(ctx: typer.Context, pool: options.PoolName) -> None:
    """Try a pool step by step: address, certificate, sign-in, rights.

    Examples:
      roadstead pool test lab
    """
    from roadstead.cli.display import poolrows

    poolrows.test(session.connect(ctx), pool)


@helping.command(app)
def install_plugin(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    pool: options.PoolName,
    host: Hosts = None,
    host_key: HostKeys = None,
    password_file: RootPasswordFile = None,
    key_file: RootKeyFile = None,
    ssh_port: SshPort = 22,
    check: Annotated[bool, typer.Option("--check", help="Change nothing, only tell what is there.")] = False,
) -> None:
    """Put the plugin for XenCenter and Xen Orchestra on every host of a pool, over SSH as root.

    The hosts' keys are shown and confirmed before the password is asked for or sent; it is used once and kept nowhere.
    A plugin that is there already is left or replaced, another one is kept and comes back with `pool uninstall-plugin`.

    Examples:
      roadstead pool install-plugin lab
      roadstead pool install-plugin lab --check
      roadstead pool install-plugin lab --key-file ~/.ssh/id_ed25519 --host-key xen1=SHA256:…
    """
    from roadstead.cli.commands import placing

    _one_sign_in(password_file, key_file)
    action = "look" if check else "install"
    wanted = placing.Wanted(action, host or [], host_key or [], password_file, key_file, ssh_port)
    placing.work(session.connect(ctx), pool, wanted)


@helping.command(app)
def uninstall_plugin(
    ctx: typer.Context,
    pool: options.PoolName,
    host: Hosts = None,
    host_key: HostKeys = None,
    password_file: RootPasswordFile = None,
    key_file: RootKeyFile = None,
    ssh_port: SshPort = 22,
) -> None:
    """Take the plugin out of every host of a pool, where it is the one that `pool install-plugin` put there.

    What was there before comes back; what somebody changed since, or what rpm installed, is left and told.

    Examples:
      roadstead pool uninstall-plugin lab
    """
    from roadstead.cli.commands import placing

    _one_sign_in(password_file, key_file)
    wanted = placing.Wanted("uninstall", host or [], host_key or [], password_file, key_file, ssh_port)
    placing.work(session.connect(ctx), pool, wanted)


def _one_sign_in(password_file: str | None, key_file: Path | None) -> None:
    if password_file is not None and key_file is not None:
        raise typer.BadParameter("one of --password-file and --key-file is enough", param_hint="--key-file")
