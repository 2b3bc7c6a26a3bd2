"""Debian's Firefox, without a window, driven over Marionette, the protocol that it speaks itself.

playwright drives a Firefox of its own that no distribution has; Selenium needs geckodriver. For
the few things that tests ask of Firefox, messages of "length:[0, number, command, arguments]" over
a socket are enough: https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
"""

import json
import os
import socket
import subprocess
import time
from contextlib import contextmanager


class Firefox:
    """A session: `go` to an address, `run` a script, which gets `arguments` and returns JSON."""

    def __init__(self, port, deadline=300):
        self.number = 0
        end = time.monotonic() + deadline
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=deadline)
                break
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
        self.file = self.socket.makefile("rb")
        self._receive()  # it says hello
        patience = {"script": 1000 * deadline, "pageLoad": 1000 * deadline}
        self.ask("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {"timeouts": patience}}})

    def _receive(self):
        length = b""
        while (digit := self.file.read(1)) != b":":
            assert digit, "Firefox has gone"
            length += digit
        return json.loads(self.file.read(int(length)))

    def ask(self, command, arguments):
        """The answer to a command; AssertionError with what Firefox says is wrong."""
        self.number += 1
        message = json.dumps([0, self.number, command, arguments]).encode()
        self.socket.sendall(b"%d:%b" % (len(message), message))
        _, _, error, answer = self._receive()
        assert error is None, error
        return answer

    def go(self, address):
        self.ask("WebDriver:Navigate", {"url": address})

    def run(self, script, *arguments):
        """What the script returns; if that is a promise, what it is fulfilled with."""
        asked = {"script": script, "args": list(arguments)}
        return self.ask("WebDriver:ExecuteScript", asked)["value"]


def _port(running, written, deadline=300):
    """The port that Firefox has written into a file of its profile."""
    end = time.monotonic() + deadline
    while not (written.exists() and written.read_text(encoding="utf-8")):
        assert running.poll() is None and time.monotonic() < end, "Firefox did not start"
        time.sleep(0.2)
    return int(written.read_text(encoding="utf-8"))


@contextmanager
def firefox(path, profile):
    """A Firefox for the block, with a fresh profile in that folder and no access to a network."""
    settings = {
        "marionette.port": 0,
        "network.proxy.type": 1,  # a proxy where nobody listens, for all but this machine
        "network.proxy.http": "127.0.0.1",
        "network.proxy.http_port": 9,
        "network.proxy.ssl": "127.0.0.1",
        "network.proxy.ssl_port": 9,
        "network.proxy.allow_hijacking_localhost": False,
        "app.update.enabled": False,
        "datareporting.policy.dataSubmissionEnabled": False,
    }
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(value)});" for k, value in settings.items()]
    (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
    command = [path, "--headless", "--no-remote", "--marionette", "--profile", str(profile)]
    # Without its sandbox, as Chromium: containers run as root.
    environment = {**os.environ, "HOME": str(profile), "MOZ_DISABLE_CONTENT_SANDBOX": "1"}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, **silent) as running:
        try:
            yield Firefox(_port(running, profile / "MarionetteActivePort"))
        finally:
            running.terminate()
