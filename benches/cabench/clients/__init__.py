"""How each client does the works: a module for each, a function for each work.

A function takes a :class:`cabench.task.Task` and returns a :class:`cabench.measure.Measurement`.  ``CANNOT`` says why a
module does not have one.  Each uses its client as its documentation advises for that purpose.
"""
