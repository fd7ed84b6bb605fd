"""The benchmark: this package, C over libca, and the other Channel Access clients for Python, in turn on one IOC.

``make bench`` runs it.  ``rows`` says what is measured, ``clients`` how each client does it, ``runner`` goes through
both; ``summary``, ``report`` and ``chart`` tell what came out.  ``docs/performance.rst`` says what the rows mean.
"""
