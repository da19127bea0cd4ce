"""mtkit: from two text files to a measured, deployed translator."""

__version__ = "0.1.0"
