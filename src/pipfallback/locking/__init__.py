"""``pipfallback lock``: the choice as a lock file (PEP 751), which installers install without pipfallback."""
