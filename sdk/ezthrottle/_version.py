"""The distribution's version, read by the build and sent as the user agent."""

__version__ = "2.0.0"
