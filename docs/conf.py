"""How Sphinx makes the site of this folder: ``make docs``."""

from pathlib import Path

_ROOT = Path(__file__).parent.parent

project = "pipfallback"
author = "the authors of pipfallback"
extensions = ["myst_parser"]
exclude_patterns = ["*.py"]
html_theme = "furo"
html_title = "pipfallback"
html_copy_source = False
html_show_copyright = False
html_extra_path = ["fallbacks.schema.json"]
# Anchors as GitHub makes them, so that a link holds in the repository and on the site.
myst_heading_anchors = 4
# A link that leads nowhere is a warning, and --fail-on-warning makes warnings errors; the last one is only about colours.
nitpicky = True
suppress_warnings = ["misc.highlighting_failure"]
