"""The worker: another process of this program, which uses a second processor if there is enough to do.

- ``limits``: the thresholds for large, many and long, in one frozen ``Limits`` that is passed in
- ``process``: ``WorkerProcess``, started if it is worthwhile: ``submit`` jobs, wait for each ``result``
- ``sharing``: jobs that both processes work on, in any order or with their results in order
- ``gc_pause``: pauses Python's garbage collector

Its rule: nothing depends on the worker. If it cannot be started, or dies, the caller does its part.
"""
