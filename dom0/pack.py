"""Builds the supplemental pack: an ISO that XAPI takes as a pool update, which installs the plugin, and the program
that prepares VMs, on every host.

The form is the one that XAPI (`xapi_pool_update.ml`, `pool_update.precheck`, `pool_update.apply`) reads: `update.xml`
and `repodata/repomd.xml`, each with a detached signature by a key that the host trusts, and a yum repository whose
group `update` is installed. One of its packages leaves `update.xml` in the folder by which XAPI knows what is applied.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / "dom0" / "xscontainer"
PROGRAM = ROOT / "dom0" / "xscontainer-prepare-vm"
SPEC = ROOT / "dom0" / "xscontainer.spec"
PROGRAMS = ("gpg", "rpm", "rpmbuild", "rpmsign", "createrepo_c", "xorriso")

LABEL = "xscontainer"
"""XenCenter shows container management when an update whose name begins so is applied."""
DESCRIPTION = "Container management by Roadstead"
RELEASES = uuid.UUID("0b6d4a7c-8f0e-5c55-9a53-7d1f2f6f8d7e")
"""The namespace of the updates' UUIDs: each release has its own, which is the same in every build of it."""
GROUPS = """<?xml version="1.0" encoding="UTF-8"?>
<comps>
  <group>
    <id>update</id>
    <default>false</default>
    <uservisible>true</uservisible>
    <name>xscontainer</name>
    <description/>
    <packagelist>
      <packagereq type="mandatory">update-xscontainer</packagereq>
    </packagelist>
  </group>
</comps>
"""
RSA = {"1", "3"}
"""OpenPGP's numbers of the algorithms that the rpm of every host can verify."""


class PackError(Exception):
    """Why no pack can be built, in words for whoever builds it."""


@dataclass(frozen=True)
class Key:
    """A signing key of gpg."""

    fingerprint: str
    home: dict[str, str]
    """The environment that leads gpg to it."""

    @property
    def file_name(self) -> str:
        """What its public half is called in a host's /etc/pki/rpm-gpg; `update.xml` names it."""
        return f"RPM-GPG-KEY-roadstead-{self.fingerprint[-16:].lower()}"

    @property
    def user(self) -> str:
        """How gpg is told to use this very key, and no subkey: the rpm of older hosts knows none."""
        return f"{self.fingerprint}!"


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """The output of a program that has to succeed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | (env or {}))
    if done.returncode != 0:
        raise PackError(f"{words[0]} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def version() -> str:
    """The release that is packed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def update_uuid(release: str) -> str:
    """The UUID of a release's update."""
    return str(uuid.uuid5(RELEASES, release))


@contextmanager
def opened(key: str) -> Iterator[Key]:
    """The key that --key means: one that gpg has, or a file with a private key."""
    if not Path(key).is_file():
        yield chosen({}, key)
        return
    with tempfile.TemporaryDirectory(prefix="gpg-") as folder:
        home = {"GNUPGHOME": folder}
        try:
            run("gpg", "--batch", "--quiet", "--import", key, env=home)
            yield chosen(home)
        finally:
            run("gpgconf", "--kill", "all", env=home)


def chosen(home: dict[str, str], *names: str) -> Key:
    """The one secret key of that name that hosts can verify."""
    listing = run("gpg", "--batch", "--with-colons", "--fingerprint", "--list-secret-keys", "--", *names, env=home)
    records = [line.split(":") for line in listing.splitlines()]
    keys = [record for record in records if record[0] == "sec"]
    if len(keys) != 1:
        raise PackError(f"--key means {len(keys)} secret keys; give the fingerprint of one")
    key = keys[0]
    if key[1] in {"e", "r", "i"}:
        raise PackError("the key has expired, is revoked or is not valid")
    if key[3] not in RSA or "s" not in key[11]:
        raise PackError("the key's primary key must be an RSA key that signs: older hosts verify no other")
    return Key(next(record[9] for record in records if record[0] == "fpr"), home)


def sign(file: Path, key: Key) -> None:
    """Write the detached signature of a file beside it."""
    run("gpg", "--batch", "--yes", "--digest-algo", "SHA256", "-u", key.user, "-ab", file, env=key.home)


def update_document(release: str, key: Key) -> bytes:
    """`update.xml`, with what XAPI reads in it."""
    update = ET.Element(
        "update",
        {
            "name-label": LABEL,
            "version": release,
            "uuid": update_uuid(release),
            "key": key.file_name,
            "installation-size": str(PLUGIN.stat().st_size + PROGRAM.stat().st_size),
            "after-apply-guidance": "",
            # A host without the plugin may join the pool; it answers that it has none.
            "enforce-homogeneity": "false",
        },
    )
    ET.SubElement(update, "name-description").text = DESCRIPTION
    ET.indent(update)
    text = ET.tostring(update, encoding="unicode")
    return f"{text}\n".encode()


def build_packages(folder: Path, release: str, update: Path, key: Key) -> list[Path]:
    """The two packages, signed, in a form that the rpm of the oldest hosts reads."""
    macros = {
        "_topdir": str(folder / "rpmbuild"),
        "_buildhost": "roadstead",
        "_binary_payload": "w9.gzdio",
        "_binary_filedigest_algorithm": "8",
        # The files are packed as they are.
        "__os_install_post": "%{nil}",
        "pack_version": release,
        "pack_uuid": update_uuid(release),
        "pack_plugin": str(PLUGIN),
        "pack_program": str(PROGRAM),
        "pack_update": str(update),
    }
    run("rpmbuild", "--quiet", *_defined(macros), "-bb", SPEC)
    packages = sorted((folder / "rpmbuild" / "RPMS" / "noarch").glob("*.rpm"))
    signing = {"__gpg": shutil.which("gpg") or "gpg", "_gpg_name": key.user, "_gpg_digest_algo": "sha256"}
    run("rpmsign", *_defined(signing), "--addsign", *packages, env=key.home)
    return packages


def _defined(macros: dict[str, str]) -> list[str]:
    return [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]


def build_tree(folder: Path, release: str, key: Key) -> Path:
    """The files of the ISO."""
    tree = folder / "root"
    (tree / "Packages").mkdir(parents=True)
    update = tree / "update.xml"
    update.write_bytes(update_document(release, key))
    sign(update, key)
    for package in build_packages(folder, release, update, key):
        shutil.copy(package, tree / "Packages")
    groups = folder / "groups.xml"
    groups.write_text(GROUPS, encoding="utf-8")
    # Hosts run an older yum: metadata without zstd, under names that fit on an ISO.
    plain = ("--general-compress-type=gz", "--simple-md-filenames", "--no-database", "--quiet")
    run("createrepo_c", *plain, "--groupfile", groups, tree)
    sign(tree / "repodata" / "repomd.xml", key)
    return tree


def build(key: Key, output: Path) -> list[Path]:
    """Build the pack; gives the files that were written."""
    release = version()
    output.mkdir(parents=True, exist_ok=True)
    iso, public = output / f"{LABEL}-{release}.iso", output / key.file_name
    with tempfile.TemporaryDirectory(prefix="pack-") as temporary:
        folder = Path(temporary)
        tree = build_tree(folder, release, key)
        run("xorriso", "-as", "mkisofs", "-quiet", "-r", "-J", "-V", LABEL, "-o", folder / "pack.iso", tree)
        shutil.move(folder / "pack.iso", iso)
        package = output / f"{LABEL}-{release}-1.noarch.rpm"
        shutil.copy(tree / "Packages" / package.name, package)
    public.write_text(run("gpg", "--batch", "--armor", "--export", key.fingerprint, env=key.home), encoding="ascii")
    return [iso, package, public]


def main() -> None:
    """Read the command line, build, and say what was written."""
    parser = argparse.ArgumentParser(prog="scripts/pack", description="Builds the supplemental pack of the plugin.")
    parser.add_argument("--key", required=True, help="the signing key: a name that gpg knows, or a file")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="the folder to write to (dist)")
    given = parser.parse_args()
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    try:
        if missing:
            raise PackError(f"these programs are missing: {', '.join(missing)}")
        with opened(given.key) as key:
            for file in build(key, given.output):
                print(file)
    except PackError as error:
        sys.exit(f"pack: {error}")


if __name__ == "__main__":
    main()
