"""What a Dockerfile's install lines will meet: read, judged, and changed on demand (``pipfallback dockerfile``)."""
