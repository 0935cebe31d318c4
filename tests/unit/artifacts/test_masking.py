"""What looks like a secret is masked, what stands around it stays, and no text makes that slow."""

import time

import pytest

from roadstead.artifacts.masking import MASK, masked

SECRETS = [
    "mysqld --password=hunter2 --port 3306",
    "redis-server --requirepass hunter2",
    "sh -c 'DB_PASSWORD=hunter2 && run'",
    "psql postgres://user:hunter2@host/db",
    "curl -H 'Authorization: Bearer hunter2'",
    "java -Dspring.datasource.password=hunter2 -jar x",
    "tool --token hunter2",
    "tool --api-key 'hunter2'",
    'tool {"secret": "hunter2"}',
    "wget http://host/?token=hunter2&page=1",
    "git clone https://ghp_hunter2hunter2hunter2@host/x",
]
PLAIN = [
    'nginx -g "daemon off;"',
    "python passenger.py",
    "ssh-keygen -t rsa",
    "/docker-entrypoint.sh mysqld",
    "postgres -c max_connections=200",
    "http://host:8080/path",
    "curl http://host:8080",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_masked(text: str) -> None:
    """The value goes; the option, the variable, the address around it stays."""
    assert "hunter2" not in masked(text)
    assert MASK in masked(text)
    assert masked(text).split()[0] == text.split(maxsplit=1)[0]


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text: str) -> None:
    """A command without one reads as it is."""
    assert masked(text) == text


CUT = [text for text in SECRETS if "ghp_" not in text]


@pytest.mark.parametrize("text", CUT)
def test_what_is_cut_in_its_middle_is_masked_too(text: str) -> None:
    """A command is kept up to a length: that the rest of a secret is missing makes it no less of one."""
    begin = text.index("hunter2")
    for end in range(begin + 1, begin + len("hunter2") + 1):
        assert "h" not in masked(text[:end]).removeprefix(text[:begin])


@pytest.mark.parametrize(
    "piece", ["-", "pass", "token ", "-token", "Bearer ", "://", "://a:", "eyJaaaaaaaa.", "'", "api-"]
)
def test_no_text_is_slow_to_mask(piece: str) -> None:
    """Four times the text takes about four times the time, not sixteen, also where patterns begin at each character."""

    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        return min(_timed(text) for _ in range(5))

    assert seconds(8192) < 9 * seconds(2048) + 0.002


def _timed(text: str) -> float:
    began = time.thread_time()
    masked(text)
    return time.thread_time() - began
