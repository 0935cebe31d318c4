"""How much memory records take, for the bounds on what others may make us keep.

A guest chooses what it says: one character outside of ASCII may make a whole text four times as large in memory, and a
thousand labels of two letters are mostly overhead. Worked out rather than measured, because `sys.getsizeof` costs more
than all else that is done to a record.
"""

from msgspec import Struct, json

from roadstead.model.records import Container

CONTAINER_BYTES = 880
"""A container that says nothing: its fields, ids and times."""
LABEL_BYTES = 150
"""A label without its letters."""
PORT_BYTES = 160
RECORD_BYTES = 1000
"""Any other record, without what it says."""
WIDEST = 4
"""What one character takes at most. A text takes that for each of its characters when it does so for one."""
_encoder = json.Encoder()


def weight(record: Struct) -> int:
    """Return about how many bytes of memory ``record`` takes; what records share counts for each of them."""
    if not isinstance(record, Container):
        said = _encoder.encode(record)
        return RECORD_BYTES + (len(said) if said.isascii() else WIDEST * len(said))
    size = CONTAINER_BYTES + LABEL_BYTES * len(record.labels) + PORT_BYTES * len(record.ports)
    for text in (record.name, record.image, record.command, record.status):
        size += len(text) if text.isascii() else WIDEST * len(text)
    for key, value in record.labels.items():
        letters = len(key) + len(value)
        size += letters if key.isascii() and value.isascii() else WIDEST * letters
    return size
