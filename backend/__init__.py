"""Runs a compiled D program against a process: symbols, sites, choice of engine, the engines, system calls.

May import `dlang` and `scratch`; neither imports this folder.
"""
