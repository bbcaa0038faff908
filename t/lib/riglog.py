# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Finds errors and warnings in the servers' logs, but for those that a test expects."""
import os
import re

# A line that matches is suspicious; by the log's name.
SUSPECT = {
    "httpd": r"\[[\w]*:(warn|error|crit|alert|emerg)\]|Sanitizer:|runtime error:",
    "relay": r"\[[\w]*:(warn|error|crit|alert|emerg)\]",
    "sshd": r"^(error|fatal|Warning|WARNING)|: (error|fatal): |AuthorizedKeysCommand .* failed|Bad "
    r"owner|deprecated",
    "redis": r"^\d+:[A-Z] .{20,30} # |^\*\*\* ",
    "rlyd": r"rlyd: (error|warning): |Sanitizer:|runtime error:",
}
# Lines that stand in every run and mean nothing here.
HARMLESS = [
    r" # (oO0OoO0OoO0Oo|Redis version=|Configuration loaded|WARNING Memory overcommit|User "
    r"requested shutdown|(Redis|Valkey) is now ready to exit|Server initialized|WARNING: The TCP "
    r"backlog|WARNING you have Transparent Huge|WARNING Your system is configured to use the)",
    # a device that went away without a good-bye; the session is gone then, which is what counts
    r"^(kex_exchange_identification|banner exchange): ",
    # the distribution's own packages are of different ages: mod_ssl was built with a newer OpenSSL
    # than is installed
    r" AH01882: Init: this version of mod_ssl was compiled against a newer library ",
]

# httpd's, of a request that met a device that was not there, or was just going. A test declares it.
DEVICE_GONE = "AH00957|AH01114|AH01102|AH00898|AH01084|AH01097"


class Expected:
    """The declared lines of one rig."""
    def __init__(self):
        self.regexes = list(HARMLESS)

    def expect(self, *regexes):
        self.regexes.extend(regexes)

    def find(self, directory):
        """The suspicious lines nobody declared, as `file: line`."""
        found = []
        for name in sorted(os.listdir(directory)):
            suspect = next((v for k, v in SUSPECT.items() if name.startswith(k)), None)
            if suspect is None or "access" in name:
                continue
            with open(os.path.join(directory, name), errors="replace") as f:
                for line in f:
                    if re.search(suspect,
                                 line) and not any(re.search(r, line) for r in self.regexes):
                        found.append(f"{name}: {line.rstrip()}")
        return found
