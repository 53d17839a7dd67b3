"""One HTTP client, and the download."""
