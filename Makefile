# make setup    .venv with dtrap and the test tools in it; installs missing Debian packages where it may
# make demo     set-up, then every libc function that a real program calls, counted
# make test     set-up, then all checks
# make check    the checks alone
# make bench    measurements against other tracers (not part of the checks)
# make fuzz     displaced instructions against the same ones at home, until stopped or wrong
# make soak     kill -9 of dtrap or its tracer at random moments, 10,000 times (ROUNDS=N; SOAK=--jumps: with jumps)

.PHONY: setup demo test check bench fuzz soak
.DEFAULT_GOAL := test

PYTHON := .venv/bin/python

# The command line that `make demo` shows and runs. -c knows no quoting, so the program is one without.
DEMO = .venv/bin/dtrap -n 'pid$$target:libc.so.6::entry { @[probefunc] = count(); }' -c 'du -s /usr/share'

setup:
	@./setup.sh

demo: setup
	@printf '%s\n' "$$DEMO_TEXT"
	@if [ "$$(id -u)" != 0 ] && command -v sudo >/dev/null; then sudo $(DEMO); else $(DEMO); fi

export DEMO_TEXT = $(DEMO)

test:
	@./setup.sh tests
	@$(MAKE) --no-print-directory check

check:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy dlang backend scratch tests bench
	$(PYTHON) -m pytest -n 2 --dist worksteal

bench: setup
	$(PYTHON) -m bench

fuzz:
	@./setup.sh tests
	$(PYTHON) -m tests.scratch.fuzz

ROUNDS = 10000

soak:
	@./setup.sh tests
	$(PYTHON) -m tests.soak $(SOAK) $(ROUNDS)
