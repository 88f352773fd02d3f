"""The `pidN` provider: a description's functions in a process, with the provider's own errors.

Matching is sites.py's; here is what dtrace(1) says of names that are none. Hands MatchedSites to probes.py.
"""

from __future__ import annotations

import re
from typing import Final

from backend.objects import matches_module
from backend.process_symbols import Symbols
from backend.sites import MatchedSites, match_sites, near_names
from dlang.diagnostics import fail, unsupported
from dlang.probe_description import ProbeDescription, is_glob, matcher
from dlang.source import Span


def match_functions(description: ProbeDescription, symbols: Symbols, span: Span) -> MatchedSites:
    """Return the sites that a description matches. Raises CompileError (D_PROC_NAME, D_PROC_FUNC)."""
    _check_probe_name(description, span)
    matched = match_sites(description, symbols)
    if not matched.sites and not matched.refused:
        _explain_no_function(description, symbols, span)
    return matched


_OFFSET: Final = re.compile(r"[0-9a-fA-F]+\Z")


def _check_probe_name(description: ProbeDescription, span: Span) -> None:
    """Raise for a probe name that is none, and for those that this version does not serve."""
    name = description.name
    if name == "entry" or (is_glob(name) and name and name != "*" and not matcher(name)("return")):
        return
    if name == "return":
        unsupported(span, "return probes")
    if not name or name == "*" or _OFFSET.match(name) or is_glob(name):
        unsupported(span, "return and offset probes; write entry as the probe's name")
    fail("D_PROC_NAME", span, f"'{name}' is an invalid probe name", "entry")


def _explain_no_function(description: ProbeDescription, symbols: Symbols, span: Span) -> None:
    """Raise D_PROC_FUNC where a function named without a glob is missing in an object named without one."""
    module, function = description.module, description.function
    if is_glob(function) or is_glob(module):
        return
    objects = [loaded for loaded in symbols.objects if matches_module(module, loaded)]
    if not objects:
        return
    names = [
        name
        for loaded in objects
        for known in symbols.functions(loaded).table.functions
        for name in known.names
    ]
    near = near_names(function, names)
    hint = f"did you mean {', '.join(near)}?" if near else ""
    fail("D_PROC_FUNC", span, f"failed to lookup '{function}' in module '{module}'", hint)
