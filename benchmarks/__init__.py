"""What pipfallback promises of speed, measured: ``make bench``, ``make bench ONLY=a,b``. See README.md."""
