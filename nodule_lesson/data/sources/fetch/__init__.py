"""Downloads that are resumed and verified, and archives that are unpacked safely.

`download` fetches one file over HTTP(S). If the connection or the program is interrupted, the
received bytes stay in PATH.part, and the next call requests the rest. PATH appears only when its
length and checksum are right. `unpack` writes the files of a zip or tar archive, all of them
inside the given folder, each of them completely or not at all.

Both are tested with a local server that imitates the faults of real ones (tests/fault_server.py);
the real services could not be reached when this was written.
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
