"""The rules of compatibility: each a small pure function from a build and a setting to what it found, or None."""
