# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The sides that mod_relay is compared with: what one would take instead."""
