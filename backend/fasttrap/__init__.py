"""The userland engine: int3 at a site, the clause in the tracer, the displaced instruction out of line.

`tracer` is the front door: the session in dtrap's own process talks to it, and it runs the engine in a
process of its own.
"""
