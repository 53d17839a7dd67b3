"""pip install that does not stop at the first wheel that will not do.

The names listed in ``__all__`` are the public interface: they decide, they never install.
"""

__version__ = "0.1.0"
