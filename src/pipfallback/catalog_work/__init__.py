"""Working on fallbacks.toml files: what ``pipfallback catalog`` does."""
