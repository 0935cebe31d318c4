"""The bodies of requests, checked at the border: a field that is wrong or unknown is named."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Base64Bytes, BaseModel, ConfigDict, Field, SecretStr

from roadstead.act.drives.templates import NewTemplate
from roadstead.act.drives.vm_drives import Order
from roadstead.act.guests.vms import Reach
from roadstead.act.plugin.hosts import Visit
from roadstead.act.pools.trials import PoolChange
from roadstead.act.preparing.conversation import Action, Answers, Consent, TlsAnswers
from roadstead.artifacts.authorized_keys import Form
from roadstead.artifacts.certificate_checks import Given
from roadstead.model.addresses import parse_network
from roadstead.model.surveys import Part
from roadstead.model.users import USER

MOST_NETWORKS = 256
Url = Annotated[str, Field(min_length=1, max_length=2048, description="`https://HOST` or `https://HOST:PORT`.")]
User = Annotated[str, Field(min_length=1, max_length=256, description="The pool account; it needs pool-operator.")]
Password = Annotated[SecretStr, Field(min_length=1, max_length=1024, description="Its password.")]
Fingerprint = Annotated[str, Field(max_length=128, description="SHA-256 of the certificate that is trusted.")]
CaPem = Annotated[str, Field(max_length=2**18, description="PEM text of the CA that the certificate is verified by.")]
Network = Annotated[str, Field(max_length=64)]
Admit = Annotated[
    list[Network],
    Field(max_length=MOST_NETWORKS, description="Networks whose addresses may be used although they usually may not."),
]
Only = Annotated[
    list[Network], Field(max_length=MOST_NETWORKS, description="Networks outside of which no guest is contacted.")
]


Publish = Annotated[
    str,
    Field(
        max_length=512,
        description="What XenCenter and Xen Orchestra are shown of the pool's containers: `on`, `off`, or `tag:NAME`.",
    ),
]


class Body(BaseModel):
    """A body; what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ComparedKey(Body):
    """The host key that the operator compared; without one where no key was shown."""

    fingerprint: Annotated[str, Field(max_length=128, description="As shown: `SHA256:…`.")] | None = None
    host_key: (
        Annotated[
            str,
            Field(
                max_length=4096,
                description="The key that the VM must show from now on, also before the first contact: a fingerprint"
                " (`SHA256:…`) or the line of a public key, as OpenSSH prints them.",
            ),
        ]
        | None
    ) = None


class HowReached(Body):
    """How a VM's engine is to be reached; what is left out stays as it is."""

    mode: Literal["ssh", "tls"] | None = Field(default=None, description="`ssh`, or `tls` (Windows, for one).")
    legacy_certificate: bool | None = Field(
        default=None,
        description="Whether TLS takes certificates as the old pack made them, without key usage; they are verified.",
    )

    def reach(self) -> Reach:
        """Return what is asked."""
        return Reach(mode=self.mode, legacy_certificate=self.legacy_certificate)


class ServerToProbe(Body):
    """Whose certificate is asked for."""

    url: Url


class NewPool(Body):
    """A pool to sign in to."""

    url: Url
    user: User
    password: Password
    fingerprint: Fingerprint | None = None
    ca_pem: CaPem | None = None
    accept_new: bool = Field(default=False, description="Trust whatever certificate the server shows now.")
    admit: Admit = []
    only: Only = []
    publish: Publish = "on"

    def change(self) -> PoolChange:
        """Return the command."""
        return _change(self, self.password)


class PoolEdit(Body):
    """What changes in how a pool is reached; what is left out stays."""

    url: Url | None = None
    user: User | None = None
    password: Password | None = None
    fingerprint: Fingerprint | None = None
    ca_pem: CaPem | None = None
    accept_new: bool = Field(default=False, description="Trust whatever certificate the server shows now.")
    admit: Admit | None = None
    only: Only | None = None
    publish: Publish | None = None

    def change(self) -> PoolChange:
        """Return the command."""
        return _change(self, self.password)


class PluginAddress(Body):
    """Where the hosts of a pool reach this server; without one the listener's own address is told."""

    url: Annotated[str, Field(max_length=512, description="`https://HOST:8421`.")] | None = None


HostKeyType = Literal["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"]
Port = Annotated[int, Field(ge=1, le=65535, description="Where the hosts' SSH servers listen.")]


class HostsToSee(Body):
    """How the hosts of a pool are looked at."""

    port: Port = 22


class HostVisit(Body):
    """What is to be done on a host as root, and how root signs in: with a password, or with a private key."""

    action: Literal["look", "install", "uninstall"]
    port: Port = 22
    type: HostKeyType = Field(description="Type of the host key that was confirmed.")
    fingerprint: Annotated[str, Field(max_length=128, description="Its fingerprint, as shown: `SHA256:…`.")]
    password: Annotated[SecretStr, Field(min_length=1, max_length=1024)] | None = None
    private_key: Annotated[SecretStr, Field(max_length=2**16, description="In OpenSSH's format or PEM.")] | None = None
    passphrase: Annotated[SecretStr, Field(max_length=1024, description="Of the private key.")] | None = None

    def visit(self) -> Visit:
        """Return the command."""
        return Visit(
            action=self.action,
            port=self.port,
            host_key=f"{self.type} {self.fingerprint}",
            password=_open(self.password),
            private_key=_open(self.private_key),
            passphrase=_open(self.passphrase),
        )


Pem = Annotated[SecretStr, Field(min_length=1, max_length=2**17)]


def _network(text: str) -> str:
    """Return a network as OpenSSH's ``from`` and the Windows firewall take it."""
    return str(parse_network(text, strict=False))


class GivenCertificates(Body):
    """Certificates that were made elsewhere, as PEM; the engine has its own already."""

    client_cert: Pem = Field(description="Our certificate for the engine, with those between it and the CA.")
    client_key: Pem = Field(description="Its private key, not encrypted.")
    ca_cert: Pem = Field(description="The CA that the engine's certificate is verified by.")
    legacy_certificate: bool = Field(default=False, description="Whether they may lack key usage, as the old pack's.")

    def given(self) -> Given:
        """Return them."""
        return Given(*(each.get_secret_value() for each in (self.client_cert, self.client_key, self.ca_cert)))


class CertificateAnswers(Body):
    """What was said so far besides where the mode is `tls`. Of a key nothing is kept but what the pool stores."""

    addresses: Annotated[
        list[Annotated[str, Field(max_length=64)]],
        Field(max_length=32, description="IP addresses of the engine that were confirmed, or said."),
    ] = []
    sources: list[Annotated[str, Field(max_length=64), AfterValidator(_network)]] = Field(
        default=[],
        max_length=32,
        description="Networks from which the VM's firewall lets connections in; none: those of the pool's management.",
    )
    days: (
        Annotated[int, Field(ge=1, le=730, description="How long they are valid; none: as the settings say.")] | None
    ) = None
    with_client_key: bool = Field(
        default=False, description="Put the client's key on the CD, too: whoever reads the CD controls the engine."
    )
    storage: Annotated[str, Field(max_length=64, description="Uuid of the storage; empty: the pool's default.")] = ""
    renew: bool = Field(
        default=False, description="Make certificates although the engine is reached with those that the VM has."
    )
    given: GivenCertificates | None = Field(default=None, description="Take these, which were made elsewhere.")
    preparation: Annotated[
        str, Field(max_length=64, description="As the question `run-script` named it: how far is it?")
    ] = ""

    def answers(self) -> TlsAnswers:
        """Return the answers."""
        return TlsAnswers(
            addresses=tuple(self.addresses),
            sources=tuple(self.sources),
            days=self.days,
            with_client_key=self.with_client_key,
            storage=self.storage,
            renew=self.renew,
            given=self.given.given() if self.given is not None else None,
            legacy_certificate=self.given is not None and self.given.legacy_certificate,
            preparation=self.preparation,
        )


class GuestAnswers(Body):
    """All that the operator said so far about preparing a guest. The sign-in is used for this call and kept nowhere."""

    action: Annotated[
        Action,
        Field(
            description="`renew`: certificates of a VM that is reached over TLS, anew; what is not said is as it was."
        ),
    ] = Action.PREPARE
    mode: Literal["ssh", "tls"] = "ssh"
    user: (
        Annotated[
            str,
            Field(
                pattern=f"^{USER}$",
                description="Who signs in, and whom the pool's key is to open; otherwise the VM's user.",
            ),
        ]
        | None
    ) = None
    host_key: (
        Annotated[
            str,
            Field(
                max_length=4096,
                description="The host key that was confirmed: a fingerprint (`SHA256:…`) or the line of a public key.",
            ),
        ]
        | None
    ) = None
    password: Annotated[SecretStr, Field(min_length=1, max_length=1024)] | None = None
    private_key: Annotated[SecretStr, Field(max_length=2**16, description="In OpenSSH's format or PEM.")] | None = None
    passphrase: Annotated[SecretStr, Field(max_length=1024, description="Of the private key.")] | None = None
    agent: (
        Annotated[str, Field(max_length=64, description="The agent that signs in, as `POST /vms/{vm}/agent` named it.")]
        | None
    ) = None
    form: (
        Annotated[
            Form,
            Field(
                description="How much the line lets the pool's key do; otherwise as much as the line that is there, or"
                " what `restricted` does."
            ),
        ]
        | None
    ) = None
    sources: (
        Annotated[
            list[Annotated[str, Field(max_length=64), AfterValidator(_network)]],
            Field(
                max_length=16,
                description="Networks that the pool's key may come from, any when the list is empty; otherwise those"
                " of the line that is there.",
            ),
        ]
        | None
    ) = None
    agreed: list[Part | Consent] = Field(default=[], max_length=16, description="Ids of the offers that may be done.")
    declined: list[Part | Consent] = Field(default=[], max_length=16, description="Ids of those that may not.")
    tls: CertificateAnswers = CertificateAnswers()

    def answers(self) -> Answers:
        """Return the answers."""
        return Answers(
            action=self.action,
            mode=self.mode,
            user=self.user,
            host_key=self.host_key,
            password=_open(self.password),
            private_key=_open(self.private_key),
            passphrase=_open(self.passphrase),
            agent=self.agent,
            form=self.form,
            sources=tuple(self.sources) if self.sources is not None else None,
            agreed=tuple(self.agreed),
            declined=tuple(self.declined),
            tls=self.tls.answers(),
        )


class AgentKeys(Body):
    """What an SSH agent that is lent holds."""

    keys: list[Annotated[str, Field(max_length=2**14)]] = Field(
        min_length=1, max_length=256, description="The public keys, base64 of their blobs, in the agent's order."
    )


class AgentAnswer(Body):
    """What an SSH agent said to a request to sign."""

    agent: Annotated[str, Field(max_length=64, description="As it was named when it was lent.")]
    request: Annotated[str, Field(max_length=64)]
    signature: Annotated[
        Base64Bytes, Field(max_length=2**14, description="Base64 of its signature; empty when it gave none.")
    ] = b""
    refusal: Annotated[str, Field(max_length=256, description="Why it gave none.")] = ""

    def signed(self) -> bytes:
        """Return the signature."""
        return self.signature


class LostVms(Body):
    """Which VMs are lost when the old key of a pool is retired now; without any that is done only if none is."""

    vms: list[Annotated[str, Field(max_length=64)]] = Field(
        max_length=2**16, description="Ids of all VMs that still need it."
    )


Networks = Annotated[list[Network], Field(max_length=MOST_NETWORKS)]
Servers = Annotated[list[Network], Field(max_length=16, description="Addresses in the management network.")]
Named = Annotated[str, Field(min_length=1, max_length=1024, description="Name, id, or the beginning of an id.")]


class FirewallScope(Body):
    """Whose firewalls: those of a pool, of one VM, or without either of all pools."""

    pool: Named | None = None
    vm: Named | None = None


class FirewallRules(FirewallScope):
    """Which firewall rules are wanted."""

    dialect: Literal["nft", "iptables", "firewalld", "windows"]
    place: Literal["router", "guest", "dom0"] | None = Field(default=None, description="Needed unless with `undo`.")
    undo: bool = Field(default=False, description="Instead, what takes the rules away.")
    management: Networks = Field(default=[], description="Instead of the networks that the pool names.")
    guests: Networks = Field(default=[], description="Instead of the addresses that VMs announce.")
    dns: Servers = []
    ntp: Servers = []
    icmp: bool = Field(default=False, description="Let ICMP errors pass that belong to a connection.")
    strangers: Literal["drop", "pass"] = Field(
        default="drop", description="On a router: what is between management or guests and others."
    )


Profile = Annotated[
    Literal["", "cloud-config", "flatcar", "ignition", "windows", "coreos"],
    Field(description="Kind of guest; without one it is chosen by the VM's system, else its name, else by the text."),
]
Template = Annotated[str, Field(max_length=2**20, description="The text, with its tokens.")]
Variable = Annotated[str, Field(max_length=32)]


class DriveText(Body):
    """A text that may go onto config drives."""

    template: Template
    profile: Profile = ""


class DriveWanted(Body):
    """A config drive that is wanted; what is left out is chosen."""

    template: Template = Field(
        default="", description="The text; without one the template that is `named`, else the default of the profile."
    )
    named: Annotated[str, Field(max_length=64)] = Field(default="", description="Which template of the pool.")
    profile: Profile = ""
    storage: Annotated[str, Field(max_length=1024)] = Field(
        default="", description="Uuid or name; without one where the former drive is, else the pool's default."
    )
    variables: dict[Variable, Annotated[SecretStr, Field(max_length=2**16)]] = Field(
        default={}, max_length=64, description="What stands for `%NAME%` in the text."
    )
    ssh_keys: list[Annotated[str, Field(max_length=2**14)]] = Field(
        default=[], max_length=64, description="Public keys that may sign in besides, lines as OpenSSH prints them."
    )
    provision_again: bool = Field(
        default=False,
        description="Give the guest a new instance id, so that cloud-init and cloudbase-init read the drive once more."
        " The guest makes itself new SSH host keys then, and its remembered one is forgotten.",
    )
    agent: Literal["", "tools", "kept"] = Field(
        default="",
        description="Which files of the guest agent stand in `/agent`: none, those of the pool's guest tools ISO"
        " (`tools`), or those of the drive that goes (`kept`).",
    )

    def order(self) -> Order:
        """Return the command."""
        return Order(
            template=self.template,
            named=self.named,
            profile=self.profile,
            storage=self.storage,
            variables={name: value.get_secret_value() for name, value in self.variables.items()},
            ssh_keys=tuple(self.ssh_keys),
            provision_again=self.provision_again,
            agent=self.agent,
        )


class DriveTemplate(Body):
    """A text that is to be a template of a pool."""

    template: Template
    profile: Profile = ""
    after: int | None = Field(
        default=None, ge=0, description="The version that it was made from: refused when there is a newer one."
    )

    def new(self) -> NewTemplate:
        """Return the template."""
        return NewTemplate(text=self.template, profile=self.profile, after=self.after)


class FormerVersion(Body):
    """Which version of a template is to be the newest again; 0 is the product's own."""

    version: int = Field(ge=0)


class NewOperation(Body):
    """What is to be done to which containers."""

    action: str = Field(max_length=64, description="start, stop, restart, pause or unpause.")
    targets: list[Annotated[str, Field(max_length=256)]] = Field(description="Ids of containers.")


def _change(body: NewPool | PoolEdit, password: SecretStr | None) -> PoolChange:
    return PoolChange(
        url=body.url,
        user=body.user,
        password=_open(password),
        fingerprint=body.fingerprint,
        ca_pem=body.ca_pem,
        accept_new=body.accept_new,
        admit=_tuple(body.admit),
        only=_tuple(body.only),
        publish=body.publish,
    )


def _open(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _tuple(networks: list[str] | None) -> tuple[str, ...] | None:
    return tuple(networks) if networks is not None else None
