"""The former place of :func:`migrator.freeze_support`; the next version removes it."""

from migrator.worker.process import freeze_support

__all__ = ["freeze_support"]
