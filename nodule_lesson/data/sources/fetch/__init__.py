"""Downloads that resume and verify, and archives unpacked safely.

`download` asks for one file over HTTP(S). What has arrived stays in PATH.part when the connection
is cut or the program is interrupted; the next call asks for the rest, and PATH appears only when
its length and checksum are right. `unpack` writes the files of a zip or tar archive, all of them
inside the folder it is given, each one whole or not at all.

Both were tried against a local stand-in with the faults of the real world
(tests/fault_server.py); the live services were out of reach when this was written.
"""

from .archives import names, unpack
from .common import check_space, one_line_errors, only_one, readable
from .transfer import download, get, new_session

__all__ = [
    "check_space",
    "download",
    "get",
    "names",
    "new_session",
    "one_line_errors",
    "only_one",
    "readable",
    "unpack",
]
