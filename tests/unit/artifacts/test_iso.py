"""Images that we write are read by others, images that others write are read by us, and hostile ones cost nothing."""

from __future__ import annotations

import struct
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycdlib import PyCdlib

from roadstead.artifacts import iso, iso_files

PATH = "openstack/latest/user_data.template"
FILES = {PATH: "ü\r\n\0".encode() * 1000, "openstack/latest/meta_data.json": b"{}", "a": b""}
NAMES = st.text("abcdefghij_.-ü", min_size=1, max_size=40).filter(lambda name: name.strip(".") == name)


def xorriso(*arguments: str | Path) -> str:
    """What xorriso says."""
    return subprocess.run(["xorriso", *arguments], check=True, capture_output=True, encoding="utf-8").stdout


def test_others_read_ours(tmp_path: Path) -> None:
    """Xorriso finds the label, the names of Rock Ridge and the contents, readable for all and writable for nobody."""
    (tmp_path / "one.iso").write_bytes(iso.build("config-2", FILES))
    xorriso("-osirrox", "on", "-indev", tmp_path / "one.iso", "-extract", "/", tmp_path / "out")

    assert {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()} == {
        *FILES
    }
    for path, content in FILES.items():
        assert (tmp_path / "out" / path).read_bytes() == content
        assert (tmp_path / "out" / path).stat().st_mode & 0o777 == 0o444
    assert "Volume Id    : config-2" in xorriso("-indev", tmp_path / "one.iso", "-pvd_info")


def test_guests_find_it_by_its_label(tmp_path: Path) -> None:
    """As blkid tells it, which udev, cloud-init and coreos-cloudinit go by; also with the disk's zeros behind it."""
    file = tmp_path / "one.iso"
    file.write_bytes(iso.build("config-2", FILES).ljust(2**21, b"\0"))
    said = subprocess.run(
        ["/usr/sbin/blkid", "-p", "-o", "export", file], check=True, capture_output=True, encoding="utf-8"
    )

    assert {"LABEL=config-2", "TYPE=iso9660"} <= set(said.stdout.split())


def test_windows_sees_joliets_names() -> None:
    """By Joliet alone every file is there, too, under the same label."""
    made = PyCdlib()
    made.open_fp(BytesIO(iso.build("config-2", FILES)))
    for path, content in FILES.items():
        found = BytesIO()
        made.get_file_from_iso_fp(found, joliet_path=f"/{path}")
        assert found.getvalue() == content
    assert made.joliet_vd is not None
    assert made.joliet_vd.volume_identifier.decode("utf-16-be").rstrip("\0 ") == "config-2"
    made.close()


@pytest.mark.parametrize("options", [("-r", "-J"), ("-r",), ("-J",)], ids=" ".join)
def test_we_read_others(tmp_path: Path, options: tuple[str, ...]) -> None:
    """What mkisofs wrote, as the historic pack did, with either kind of names."""
    for path, content in FILES.items():
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_bytes(content)
    xorriso("-as", "mkisofs", "-quiet", *options, "-V", "config-2", "-o", tmp_path / "one.iso", tmp_path / "in")
    image = (tmp_path / "one.iso").read_bytes()

    assert {path: iso_files.read(image, path, 2**20) for path in FILES} == FILES


@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=4).map("/".join), st.binary(max_size=3000), max_size=30))
@settings(max_examples=40)
def test_any_tree_is_read_back(files: dict[str, bytes]) -> None:
    """Whatever is put in comes out, from an image that was padded, too."""
    folders = {path.rsplit("/", depth)[0] for path in files for depth in range(1, path.count("/") + 1)}
    files = {path: content for path, content in files.items() if path not in folders}
    image = iso.build("config-2", files) + bytes(4096)

    assert {path: iso_files.read(image, path, 3000) for path in files} == files


def refusal(image: bytes, path: str = PATH, limit: int = 2**20) -> str:
    """Why an image is refused."""
    with pytest.raises(ValueError, match=r"^it |^a ") as refused:
        iso_files.read(image, path, limit)
    assert type(refused.value) is ValueError
    return str(refused.value)


def test_what_is_not_there_is_refused() -> None:
    """No image, an empty one, another path, a folder, a file in the place of a folder, a file that is too large."""
    image = iso.build("config-2", FILES)
    for broken in (b"", b"x" * 100_000, bytes(16 * 2**20), image[: 17 * 2048]):
        refusal(broken)
    for path in ("", "/", "a/b", "openstack", "openstack/latest", "../a", "OPENSTACK/LATEST/USER_DATA.TEMPLATE"):
        assert refusal(image, path) == "it holds no such file"
    assert refusal(image, limit=100) == "it is too large"
    assert refusal(image[: 30 * 2048]) in {"it lies beyond the end", "it holds no such file"}


@given(st.lists(st.tuples(st.integers(16 * 2048, 40 * 2048), st.binary(min_size=1, max_size=8)), min_size=1))
@settings(max_examples=400)
def test_a_spoiled_image_never_breaks_the_reader(changes: list[tuple[int, bytes]]) -> None:
    """Bytes that are changed anywhere in its structures give a file or `ValueError`, and nothing else."""
    image = bytearray(iso.build("config-2", FILES))
    for where, data in changes:
        image[where : where + len(data)] = data
    try:
        assert len(iso_files.read(bytes(image), PATH, 2**20)) <= 2**20
    except ValueError as error:
        assert type(error) is ValueError  # noqa: PT017 - a subclass would be another mistake


@given(st.binary(max_size=6000))
def test_any_directory_is_looked_through(directory: bytes) -> None:
    """A directory of any bytes comes to an end."""
    image = bytearray(iso.build("config-2", {}))
    image += bytes(-len(image) % 2048) + directory
    for number in (16, 17):
        struct.pack_into("<I", image, number * 2048 + 158, (len(image) - len(directory)) // 2048)
        struct.pack_into("<I", image, number * 2048 + 166, len(directory))
    refusal(bytes(image))


def test_a_directory_that_holds_itself_costs_nothing() -> None:
    """Only the path that is asked for is walked, as often as it has parts."""
    image = bytearray(iso.build("config-2", FILES))
    joliet = struct.unpack_from("<I", image, 17 * 2048 + 158)[0] * 2048
    at = joliet
    while image[at]:
        if "openstack".encode("utf-16-be") in image[at : at + image[at]]:
            struct.pack_into("<I", image, at + 2, joliet // 2048)
        at += image[at]

    assert iso_files.read(bytes(image), "openstack/" * 2000 + "a", 10) == b""


def test_directories_of_millions_of_records_are_not_looked_through() -> None:
    """An image that is one huge directory is refused by its size, whatever it holds."""
    image = bytearray(iso.build("config-2", FILES)) + bytes(15 * 2**20)
    for number in (16, 17):
        struct.pack_into("<I", image, number * 2048 + 166, 14 * 2**20)

    assert refusal(bytes(image)) == "it is too large"
