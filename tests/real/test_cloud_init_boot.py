"""The first boot of a guest with a drive, offline: the cloud-inits of Debian 12, 13 and sid run in a copy of this
machine's files that nothing outlasts, and make the account, the keys, the host name and the files.

They run on this machine's Python and programs, not on those of their own releases. Only its programs, libraries and
settings are copied or seen, none of it as a layer of an overlay: in containers the root is one already.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from roadstead.artifacts import config_drive, drive_templates
from roadstead.artifacts.config_drive import Guest
from tests.contract.cloud_inits import FOLDER, RELEASES

LIMIT_SECONDS = 120
"""Limit on one boot, which takes a few seconds."""
GUEST = Guest("5a1f7f0e-0000-4000-8000-000000000001", "web1", "ssh-rsa AAAAB3NzaC1yc2E= xscontainer")
ADDED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb9nqFJfzkG8ttt8Iszm4dJf0OtaiAqaMHwtQ0GtIcN me"
FILE = """
write_files:
  - path: /etc/roadstead-told
    permissions: '0640'
    content: from the drive
"""
BOOT = r"""
set -eu
release=$1 libraries=$2 folder=$3
mount --make-rprivate /
root=$folder/root
mount -t tmpfs -o mode=755,size=256m tmpfs "$root"
for name in bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$name" ]; then cp -P "/$name" "$root/$name"; continue; fi
    if [ -d "/$name" ]; then mkdir "$root/$name"; mount --rbind "/$name" "$root/$name"; fi
done
mkdir -p -m 755 "$root/usr" "$root/proc" "$root/sys" "$root/run" "$root/dev" "$root/home" "$root/opt" "$root/var/lib"
mkdir -p -m 755 "$root/var/log" "$root/var/cache" "$root/var/tmp"
mkdir -m 1777 "$root/tmp"
mkdir -m 700 "$root/root"
mount --rbind /usr "$root/usr"
mount -o remount,bind,ro "$root/usr"
cp -a /etc "$root/etc"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
rm -rf "$root/etc/cloud" "$root/var/lib/cloud"
mkdir -p "$root/opt/release" "$root/opt/libraries" "$root/var/lib/cloud/seed/config_drive"
cp -r "$release/etc/cloud" "$root/etc/cloud"
cp -r "$folder/drive/." "$root/var/lib/cloud/seed/config_drive/"
mount --bind "$release" "$root/opt/release"
mount --bind "$libraries" "$root/opt/libraries"
printf 'datasource_list: [ConfigDrive, None]\nnetwork: {config: disabled}\n' >"$root/etc/cloud/cloud.cfg.d/99-here.cfg"
printf 'growpart: {mode: "off"}\nresize_rootfs: false\n' \
    >>"$root/etc/cloud/cloud.cfg.d/99-here.cfg"
chroot "$root" sh -ec '
    packages=usr/lib/python3/dist-packages
    export PYTHONPATH=/opt/release/$packages:/opt/libraries/$packages
    for stage in "init --local" init "modules --mode=config"; do
        /usr/bin/python3 -W ignore -m cloudinit.cmd.main $stage >&2 || true
    done
    cat /etc/hostname
    id -nG core
    stat -c %a:%U /home/core/.ssh/authorized_keys
    stat -c %a /etc/roadstead-told
    cat /etc/roadstead-told; echo
    cat /home/core/.ssh/authorized_keys
'
"""

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root"),
]


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_account_keys_host_name_and_files_arrive(tmp_path: Path, release: Path) -> None:
    """From nothing but the drive, by all that its cloud-init does up to the stage ``config``."""
    if not release.is_dir():
        pytest.skip("./scripts/setup could not fetch this cloud-init")
    template = drive_templates.PROFILES[drive_templates.CLOUD_CONFIG] + FILE
    drive = config_drive.prepare(template, GUEST, drive_templates.CLOUD_CONFIG, (ADDED,))
    image = tmp_path / "drive.iso"
    image.write_bytes(config_drive.image(drive))
    (tmp_path / "root").mkdir()
    unpack = ["xorriso", "-osirrox", "on", "-indev", str(image), "-extract", "/", str(tmp_path / "drive")]
    subprocess.run(unpack, check=True, capture_output=True)

    unshare = [shutil.which("unshare") or "unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork"]
    run = subprocess.run(
        [*unshare, "--kill-child", "sh", "-c", BOOT, "sh", release, FOLDER, tmp_path],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=LIMIT_SECONDS,
    )

    assert run.returncode == 0, run.stderr[-4000:]
    name, groups, keys_of, mode, told, *keys = run.stdout.splitlines()
    assert name == GUEST.hostname
    assert "docker" in groups.split()
    assert keys_of == "600:core"
    assert (mode, told) == ("640", "from the drive")
    assert sorted(keys) == sorted([GUEST.pool_key, ADDED])
