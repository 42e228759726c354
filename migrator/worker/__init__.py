"""The worker: another process of this program, which uses a second processor where there is enough to do.

- ``limits``: how much is large, many or far, in one frozen ``Limits`` that is passed in
- ``process``: ``WorkerProcess``, started when it is worth while, given jobs by ``submit``, asked for each ``result``
- ``sharing``: jobs that both processes do: in any order, or with results in order
- ``gc_pause``: work without Python's cycle collector

One rule: nothing depends on the worker. Where it can't be started, or dies, the caller does its part.
"""
