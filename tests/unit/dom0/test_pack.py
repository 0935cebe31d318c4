"""The supplemental pack has the form that XAPI takes, is signed, and installs the very plugin of this repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dom0 import pack
from tests.unit.dom0.world import PLUGIN, PROGRAM
from tests.unit.shape.measure import ROOT

pytestmark = pytest.mark.xdist_group("pack")

PACKAGES = (f"update-xscontainer-{pack.version()}-1.noarch.rpm", f"xscontainer-{pack.version()}-1.noarch.rpm")
KNOWN_TO_OLD_RPM = {"rpmlib(CompressedFileNames)", "rpmlib(FileDigests)", "rpmlib(PayloadFilesHavePrefix)", "/bin/sh"}
STUB = """
Name: {name}
Version: 99
Release: 1
Summary: A part of a host
License: none
BuildArch: noarch
Provides: /bin/sh
%description
%install
mkdir -p %{{buildroot}}/etc/xapi.d/plugins %{{buildroot}}/usr/bin
echo old >%{{buildroot}}/etc/xapi.d/plugins/{name}
echo old >%{{buildroot}}/usr/bin/{name}-prepare-vm
%files
/etc/xapi.d/plugins/{name}
/usr/bin/{name}-prepare-vm
"""
YUM = """\
[main]
keepcache=0
reposdir=/dev/null
gpgcheck=1
repo_gpgcheck=1
installonlypkgs=
group_command=compat

[xscontainer]
name=xscontainer
baseurl=file://{tree}
gpgkey=file://{key}

[host]
name=host
baseurl=file://{host}
gpgcheck=0
repo_gpgcheck=0
"""
"""As XAPI writes it (create_yum_config), and a second repository that stands for what a host has already."""


def run(*words: str | Path, home: Path | None = None, ok: bool = True) -> str:
    """The output of a program, standard error included, but for what the first run after a change sets up."""
    environment = os.environ | ({"GNUPGHOME": str(home)} if home else {})
    done = subprocess.run(
        [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, check=False
    )
    text = done.stdout.decode(errors="replace")
    assert (done.returncode == 0) == ok, text
    return re.sub(r"^setup: .*\n", "", text, flags=re.MULTILINE)


@dataclass
class Built:
    """What one run of scripts/pack wrote."""

    output: Path
    tree: Path
    """What is on the ISO."""
    secret: Path
    fingerprint: str
    said: str

    @property
    def key(self) -> Path:
        """The public key that hosts are given."""
        return self.output / f"RPM-GPG-KEY-roadstead-{self.fingerprint[-16:].lower()}"

    @property
    def update(self) -> ET.Element:
        """The document on the ISO."""
        return ET.parse(self.tree / "update.xml").getroot()  # noqa: S314 - we wrote it

    def package(self, name: str) -> Path:
        """One of the packages on the ISO."""
        return self.tree / "Packages" / name

    def query(self, package: str, *options: str) -> list[str]:
        """What rpm reads in a package."""
        return [line for line in run("rpm", "-qp", *options, self.package(package)).splitlines() if "NOKEY" not in line]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home of gpg, whose agent ends with the tests."""
    _need("gpg", "rpmbuild", "createrepo_c", "xorriso")
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    yield home
    run("gpgconf", "--kill", "all", home=home)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Built:
    """The pack, built with a key of its own in a file."""
    folder = tmp_path_factory.mktemp("pack")
    fingerprint = make_key(keys, "Pack", "rsa2048")
    secret = folder / "secret.asc"
    secret.write_text(run("gpg", "--armor", "--export-secret-keys", fingerprint, home=keys))
    said = run(ROOT / "scripts" / "pack", "--key", secret, "--output", folder / "new" / "dist")
    iso = folder / "new" / "dist" / f"xscontainer-{pack.version()}.iso"
    run("xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", folder / "tree")
    run("chmod", "-R", "u+w", folder / "tree")
    return Built(iso.parent, folder / "tree", secret, fingerprint, said)


@pytest.fixture(autouse=True)
def _agents_end(tmp_path: Path) -> Iterator[None]:
    """End the agents that gpg, and dnf by it, started for keyrings of a test."""
    yield
    for home in (tmp_path, *tmp_path.rglob("pubring")) if shutil.which("gpgconf") else ():
        run("gpgconf", "--homedir", home, "--kill", "all")


def make_key(home: Path, name: str, algorithm: str, usage: str = "sign") -> str:
    """The fingerprint of a new key without a passphrase."""
    run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", name, algorithm, usage, "never", home=home)
    listing = run("gpg", "--with-colons", "--fingerprint", name, home=home)
    return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))


def _need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"missing: {missing}")
    if missing:
        pytest.skip(f"missing: {', '.join(missing)}")


def test_files_are_named(built: Built) -> None:
    """The ISO, the package alone and the public key are written, and told."""
    names = {built.key.name, f"xscontainer-{pack.version()}.iso", PACKAGES[1]}

    assert {each.name for each in built.output.iterdir()} == names
    assert set(built.said.splitlines()) == {str(built.output / name) for name in names}
    assert (built.output / PACKAGES[1]).read_bytes() == built.package(PACKAGES[1]).read_bytes()
    assert "PRIVATE" not in built.key.read_text()


def test_iso_holds_what_xapi_reads(built: Built) -> None:
    """Everything is there under its own name, which a host (Rock Ridge) and XenCenter (Joliet) see alike."""
    found = {each.relative_to(built.tree).as_posix() for each in built.tree.rglob("*") if each.is_file()}
    iso = built.output / f"xscontainer-{pack.version()}.iso"
    joliet = run("xorriso", "-read_fs", "norock", "-indev", iso, "-find", "/", "-type", "f")

    assert found == {
        *("update.xml", "update.xml.asc", "repodata/repomd.xml", "repodata/repomd.xml.asc"),
        *("repodata/primary.xml.gz", "repodata/filelists.xml.gz", "repodata/other.xml.gz"),
        *("repodata/groups.xml", "repodata/groups.xml.gz", *(f"Packages/{name}" for name in PACKAGES)),
    }
    assert set(re.findall(r"^'/(.*)'$", joliet, re.MULTILINE)) == found
    assert "Volume id    : 'xscontainer'" in run("xorriso", "-indev", iso, "-toc")


def test_update_document(built: Built) -> None:
    """It has every attribute that XAPI's parser wants, and one element with nothing but a text in it."""
    assert built.update.tag == "update"
    assert built.update.attrib == {
        "name-label": "xscontainer",
        "version": pack.version(),
        "uuid": pack.update_uuid(pack.version()),
        "key": built.key.name,
        "installation-size": str(PLUGIN.stat().st_size + PROGRAM.stat().st_size),
        "after-apply-guidance": "",
        "enforce-homogeneity": "false",
    }
    (description,) = built.update
    assert (description.tag, list(description), description.text) == ("name-description", [], pack.DESCRIPTION)


def test_every_release_has_its_uuid() -> None:
    """The UUID changes with the release, and with nothing else."""
    assert pack.update_uuid("1.0.0") == pack.update_uuid("1.0.0") != pack.update_uuid("1.0.1")
    assert str(uuid.UUID(pack.update_uuid("1.0.0"))) == pack.update_uuid("1.0.0")


def test_signatures(built: Built, tmp_path: Path) -> None:
    """XAPI's own command verifies both with a keyring that was taught as its import-update-key does; a change shows."""
    tmp_path.chmod(0o700)
    run("gpg", "--batch", "--import", built.key, home=tmp_path)
    trust = f"{built.fingerprint}:6:\n"
    subprocess.run(
        ["gpg", "--batch", "--quiet", "--import-ownertrust"],
        input=trust.encode(),
        check=True,
        env=os.environ | {"GNUPGHOME": str(tmp_path)},
        stderr=subprocess.DEVNULL,
    )

    def verify(file: Path, signature: Path, *, ok: bool) -> str:
        ring = ("--homedir", tmp_path, "--no-default-keyring", "--keyring", tmp_path / "pubring.kbx")
        return run("gpg", *ring, "--status-fd", "1", "--verify", signature, file, ok=ok)

    for name in ("update.xml", "repodata/repomd.xml"):
        file, signature = built.tree / name, built.tree / f"{name}.asc"
        status = verify(file, signature, ok=True)
        assert "[GNUPG:] GOODSIG" in status
        assert "[GNUPG:] TRUST_ULTIMATE" in status
        assert f"[GNUPG:] VALIDSIG {built.fingerprint}" in status
        changed = tmp_path / "changed"
        changed.write_bytes(file.read_bytes() + b" ")
        assert "[GNUPG:] BADSIG" in verify(changed, signature, ok=False)


def test_packages_are_signed(built: Built, tmp_path: Path) -> None:
    """Hosts' rpm verifies both with the public key that hosts are given, by a signature that old hosts know."""
    run("rpmkeys", "--dbpath", tmp_path, "--import", built.key)

    for name in PACKAGES:
        said = run("rpmkeys", "--dbpath", tmp_path, "-Kv", built.package(name))
        assert re.search(r"RSA/SHA256 Signature, key ID [0-9a-f]+: OK", said), said
        assert "NOKEY" not in said


def test_plugin_is_packed_as_it_is(built: Built, tmp_path: Path) -> None:
    """The package holds the plugin and the program, executable, root's, byte for byte."""
    assert built.query(PACKAGES[1], "--qf", "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME}\n]") == [
        "/etc/xapi.d/plugins/xscontainer -rwxr-xr-x root root",
        "/usr/bin/xscontainer-prepare-vm -rwxr-xr-x root root",
    ]
    archive = subprocess.run(["rpm2cpio", built.package(PACKAGES[1])], stdout=subprocess.PIPE, check=True).stdout
    assert PLUGIN.read_bytes() in archive
    assert PROGRAM.read_bytes() in archive


def test_applied_update_is_left_on_the_host(built: Built) -> None:
    """The other package leaves the document where XAPI looks for what is applied, and brings the plugin."""
    assert built.query(PACKAGES[0], "-l") == [f"/var/update/applied/{pack.update_uuid(pack.version())}"]
    assert f"xscontainer = 1:{pack.version()}-1" in built.query(PACKAGES[0], "--requires")


def test_old_hosts_can_read_the_packages(built: Built) -> None:
    """Nothing is asked of rpm that the one of CentOS 7 lacks; the payload is gzip, the architecture none."""
    for name in PACKAGES:
        needed = {line.split()[0] for line in built.query(name, "--requires")}
        assert needed <= KNOWN_TO_OLD_RPM | {"xscontainer"}
        assert built.query(name, "--qf", "%{PAYLOADCOMPRESSOR} %{ARCH} %{EPOCH} %{BUILDHOST}\n") == [
            "gzip noarch 1 roadstead"
        ]


def test_host_installs_it(built: Built, tmp_path: Path) -> None:
    """The program of hosts installs the group as XAPI asks, checks signatures, and replaces the historic pack."""
    _need("dnf")
    if os.geteuid() != 0:
        pytest.skip("dnf installs for root alone")
    packages = tmp_path / "rpm" / "RPMS" / "noarch"
    for name in ("shell", "xscontainer"):
        (tmp_path / f"{name}.spec").write_text(STUB.format(name=name))
        run("rpmbuild", "--define", f"_topdir {tmp_path / 'rpm'}", "-bb", tmp_path / f"{name}.spec")
    run("createrepo_c", packages)
    root, config = tmp_path / "root", tmp_path / "yum.conf"
    config.write_text(YUM.format(tree=built.tree, key=built.key, host=packages))
    dnf = ("dnf", "-y", "--noplugins", "-c", config, "--installroot", root, "--releasever", "7")

    run(*dnf, "--setopt=tsflags=noscripts", "--repo", "host", "install", "shell", "xscontainer")
    plugin = root / "etc" / "xapi.d" / "plugins" / "xscontainer"
    assert plugin.read_text() == "old\n"
    run(*dnf, "--setopt=tsflags=noscripts", "install", "@update")

    program = root / "usr" / "bin" / "xscontainer-prepare-vm"
    for placed, ours in ((plugin, PLUGIN), (program, PROGRAM)):
        assert placed.read_bytes() == ours.read_bytes()
        assert placed.stat().st_mode & 0o7777 == 0o755
    applied = root / "var" / "update" / "applied" / pack.update_uuid(pack.version())
    assert applied.read_bytes() == (built.tree / "update.xml").read_bytes()


def test_key_by_its_name(built: Built, keys: Path, tmp_path: Path) -> None:
    """A key that gpg has is meant by its name or fingerprint."""
    said = run(ROOT / "scripts" / "pack", "--key", "Pack", "--output", tmp_path, home=keys)

    assert (tmp_path / built.key.name).read_text() == built.key.read_text()
    assert len(said.splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "algorithm", "usage", "reason"),
    [
        ("Nobody", None, "", "No secret key"),
        ("Edwards", "ed25519", "sign", "must be an RSA key that signs"),
        ("Certifier", "rsa2048", "cert", "must be an RSA key that signs"),
    ],
)
def test_keys_that_hosts_cannot_verify(
    keys: Path, tmp_path: Path, name: str, algorithm: str | None, usage: str, reason: str
) -> None:
    """A key that is not there, or that the rpm of an old host cannot use, is refused before anything is built."""
    if algorithm:
        make_key(keys, name, algorithm, usage)
    said = run(ROOT / "scripts" / "pack", "--key", name, "--output", tmp_path / "dist", home=keys, ok=False)

    assert said.startswith("pack: ")
    assert reason in said
    assert "Traceback" not in said
    assert not (tmp_path / "dist").exists()


def test_file_that_is_no_key(tmp_path: Path) -> None:
    """A file without a secret key is refused, too."""
    _need("gpg")
    (tmp_path / "key").write_text("nothing")
    said = run(ROOT / "scripts" / "pack", "--key", tmp_path / "key", "--output", tmp_path / "dist", ok=False)

    assert said.startswith("pack: gpg failed: ")
    assert not (tmp_path / "dist").exists()
