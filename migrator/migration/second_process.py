"""Where ``freeze_support`` was until it became :func:`migrator.freeze_support`; goes with the next version."""

from migrator.worker.process import freeze_support

__all__ = ["freeze_support"]
