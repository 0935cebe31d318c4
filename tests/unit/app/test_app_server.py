"""What the server refuses before it begins."""

from pathlib import Path

import pytest

from roadstead.app.server import ServeOptions, run_server
from roadstead.errors import StartError
from roadstead.settings.schema import Settings


async def test_a_path_too_long_for_a_socket_is_the_sockets_fault(tmp_path: Path) -> None:
    """The remedy is another socket, not another state folder, which is not even made."""
    options = ServeOptions(tmp_path / "state", tmp_path / ("s" * 108), None)

    with pytest.raises(StartError) as caught:
        await run_server(options, Settings(), lambda _: None)

    assert caught.value.code == "socket-unusable"
    assert caught.value.fields["path"] == str(options.socket)
    assert not options.state.exists()


@pytest.mark.blocking
async def test_an_address_that_cannot_be_listened_on_is_said_before_anything_starts(tmp_path: Path) -> None:
    """The plugin's listener is bound first, so that no pool is signed in to in vain."""
    options = ServeOptions(tmp_path / "state", tmp_path / "s.sock", None, plugin_listen="nowhere")

    with pytest.raises(StartError) as caught:
        await run_server(options, Settings(), lambda _: None)

    assert (caught.value.code, caught.value.fields["address"]) == ("plugin-listen-unusable", "nowhere")
    assert not options.state.exists()


@pytest.mark.blocking
@pytest.mark.parametrize("is_new", [True, False])
async def test_a_start_that_fails_leaves_no_new_state_folder(tmp_path: Path, *, is_new: bool) -> None:
    """It failed late, when there was a database already; a folder that was there stays, with all that is in it."""
    options = ServeOptions(tmp_path / "above" / "state", tmp_path / "s.sock", None)
    options.socket.write_text("no socket")
    if not is_new:
        options.state.mkdir(parents=True)
        (options.state / "mine").touch()

    with pytest.RaisesGroup(pytest.RaisesExc(StartError, match=options.socket.name), flatten_subgroups=True):
        await run_server(options, Settings(), lambda _: None)

    assert options.state.exists() is not is_new
    assert is_new or {"mine", "roadstead.db"} <= {path.name for path in options.state.iterdir()}
