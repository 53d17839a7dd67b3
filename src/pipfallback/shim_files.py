"""The files that pipfallback and its shim in pip exchange (see ``_pip_shim.py``), by paths alone."""

from __future__ import annotations

import os

SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_pip_shim.py")

# In a folder of the run's own.
CONFIG, CHANNEL, MET, ANSWER, HELD = "config.json", "channel", "met", "answer", "torch.txt"
