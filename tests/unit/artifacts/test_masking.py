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
    "mysql -phunter2 db",
    "sh -c 'mysqldump -uroot -phunter2 db'",
    "redis-cli -a hunter2",
    "curl -u user:hunter2 https://host",
    "curl -uuser:hunter2 https://host",
    "app --user user:hunter2",
    "sshpass -p hunter2 ssh host",
    "ldapsearch -w hunter2",
    "etcd --root-pw hunter2",
    "slapd ROOTPW=hunter2",
    "app redis://hunter2@host",
    "app amqp://:hunter2@host",
    "app postgres://u:p@hunter2@host/db",
    "app postgres://u:a/hunter2@host/db",
    "curl -H Authorization: token hunter2",
    "curl -H 'Authorization: Custom hunter2' x",
    "env PASSWORD=abc,hunter2",
    "env PASSWORD=abc;hunter2",
    "env PASSWORD=abc&hunter2",
    "app --password=abc'hunter2'",
    "app --password=abc'x hunter2'",
    'app --password="a\\"hunter2"',
    'app --password="a \\" hunter2"',
    "app --password     hunter2",
    "app PASSWORD=     hunter2",
    'app ["--password","hunter2"]',
    "app ['--password', 'hunter2']",
    'app {\\"password\\": \\"hunter2\\"}',
    'app {\\"password\\": \\"a hunter2\\"}',
    "app AccountKey=hunter2;x",
    "app https://host/?sig=hunter2",
    "app https://host/?X-Amz-Signature=hunter2",
    "app --jwt hunter2",
    "app --cookie=hunter2",
    "app --signing-key hunter2",
    "app --encryption-key=hunter2",
    "app CONNECTION_STRING=hunter2",
    "app --connection-string 'Server=x;hunter2'",
    "app sk-proj-hunter2hunter2hunter2",
    "app xoxb-hunter2hunter2",
    "app glpat-hunter2hunter2hunter2",
    "app -----BEGIN RSA PRIVATE KEY----- hunter2 hunter2",
    "app --tokenaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=hunter2",
    "app --password --hunter2",
]
UNSEEN = ["\x00", "\x1b", "\x7f", "\u200b", "\u202e", "\ufeff", "\ufffe"]
"""What clients do not show."""
PLAIN = [
    'nginx -g "daemon off;"',
    "python passenger.py",
    "ssh-keygen -t rsa",
    "/docker-entrypoint.sh mysqld",
    "postgres -c max_connections=200",
    "http://host:8080/path",
    "curl http://host:8080",
    "curl http://[::1]:8080",
    "curl http://host:8080/path@v1 x",
    "git clone ssh://git@host/x",
    "pip install git+https://host/x@v1",
    "docker run --user 1000:1000 x",
    "app -p 8080",
    "app --signal=9 upward=3",
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


@pytest.mark.parametrize("unseen", UNSEEN)
@pytest.mark.parametrize("text", ["app --password=hunter2", "app --password hunter2", "app redis://u:hunter2@host"])
def test_what_is_not_shown_hides_no_secret(text: str, unseen: str) -> None:
    """A character that a client drops may stand anywhere: in the word, around the value, in it."""
    for at in range(len(text)):
        shown = masked(text[:at] + unseen + text[at:])
        assert "hunter2" not in shown
        assert MASK in shown


def test_what_stands_behind_a_secret_stays() -> None:
    """A quote that ends what is around a value ends the value, too; an address keeps its host, a key its kind."""
    assert masked('curl -H "X-Api-Key: hunter2" http://host') == f'curl -H "X-Api-Key: {MASK}" http://host'
    assert masked("a://u:hunter2@host/db b") == f"a://u:{MASK}@host/db b"
    assert masked("-----BEGIN PRIVATE KEY-----x-----END PRIVATE KEY----- b").endswith(
        f"{MASK}-----END PRIVATE KEY----- b"
    )


FORMS = ("ghp_", "glpat-", "sk-proj", "xoxb", "redis://hunter2", "p@hunter2", "Custom")
"""Known by their whole form, which a cut one no longer has, or masked with what stands before."""
CUT = [text for text in SECRETS if not any(form in text for form in FORMS)]


@pytest.mark.parametrize("text", CUT)
def test_what_is_cut_in_its_middle_is_masked_too(text: str) -> None:
    """A command is kept up to a length: that the rest of a secret is missing makes it no less of one."""
    begin = text.index("hunter2")
    for end in range(begin + 1, begin + len("hunter2") + 1):
        assert "h" not in masked(text[:end]).removeprefix(text[:begin])


@pytest.mark.parametrize(
    "piece",
    [
        *("-", "pass", "token ", "-token", "--pass ", "Bearer ", "://", "://a:", "://a@", "eyJaaaaaaaa.", "'", "api-"),
        *("token=", 'token="', 'token\\"', "\\", "token='a'", "--user a", "-----BEGIN PRIVATE KEY-----", "mysql -p "),
        *("Authorization: ", "Authorization: key ", "token    ", "curl -u "),
    ],
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
