"""The kernel engine: D programs as eBPF, attached to uprobes."""
