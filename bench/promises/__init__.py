# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The benches: one file for each thing that is promised, with the targets that decide it."""
