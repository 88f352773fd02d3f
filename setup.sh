#!/bin/bash
# Make .venv, with .venv/bin/dtrap and the test tools in it, out of a bare Debian machine. Quick when nothing is left to do.
#
#   ./setup.sh          what dtrap itself needs; what only the tests need is named if it cannot be installed
#   ./setup.sh tests    the same, and fail where something that the tests need is missing
#
# The interpreter is Debian's own: the system's bcc module is built for that one, whatever python3 comes first on PATH.
set -euo pipefail
cd "$(dirname "$0")"

python=/usr/bin/python3
for_tests=${1:-}

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

missing_to_run() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    test -e /usr/lib/python3/dist-packages/bcc/libbcc.py || echo python3-bpfcc
}

missing_to_test() {
    command -v gcc >/dev/null || echo gcc
    command -v g++ >/dev/null || echo g++
    command -v objcopy >/dev/null || echo binutils
    test -e /usr/include/stdlib.h || echo libc6-dev
    # The tracers that dtrap's answers are compared with.
    command -v bpftrace >/dev/null || echo bpftrace
    command -v gdb >/dev/null || echo gdb
    command -v go >/dev/null || echo golang-go
    # A runtime that makes code.
    command -v node >/dev/null || echo nodejs
}

# Root in front of a command: nothing, sudo, or "no" where there is no way that asks for nothing.
become_root() {
    if [ "$(id -u)" = 0 ]; then echo env
    elif sudo -n true 2>/dev/null; then echo "sudo -n env"
    else echo no
    fi
}

install_packages() {
    local root
    root=$(become_root)
    if [ "$root" = no ] || ! command -v apt-get >/dev/null; then return 1; fi
    say "installing Debian packages: $*"
    local log
    log=$(mktemp)
    # A list that fails to update (an unreachable third-party source) does not matter if the install succeeds.
    $root DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >"$log" 2>&1 || true
    if ! $root DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" </dev/null >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm "$log"
        return 1
    fi
    rm "$log"
}

wanted=$(missing_to_run; missing_to_test)
if [ -n "$wanted" ] && ! install_packages $wanted; then
    say "missing Debian packages; as root: apt-get install" $wanted
    case " $(missing_to_run | tr '\n' ' ')" in *" python3-venv "*) fail "cannot make .venv without python3-venv" ;; esac
    [ "$for_tests" != tests ] || fail "the tests need them all"
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "$python is $("$python" -V 2>/dev/null || echo missing); dtrap needs Debian's own Python, 3.11 or later (Debian 12)"

# What .venv was made from and where: another answer to either makes it anew or brings it up to date.
state="$PWD $("$python" -V) $(cat setup.sh pyproject.toml | sha256sum)"
if [ "$(cat .venv/setup-state 2>/dev/null)" = "$state" ] && [ -x .venv/bin/dtrap ]; then exit 0; fi

if ! grep -qs '^home = /usr/bin$' .venv/pyvenv.cfg || ! grep -qsF "$PWD/.venv/" .venv/bin/pip; then
    say "making .venv"
    rm -rf .venv
    "$python" -m venv .venv
fi
say "installing Python packages into .venv"
.venv/bin/python -m pip install -q --disable-pip-version-check -e '.[test]'
# What a first run would otherwise do, and what one without the right to write here would do every time.
.venv/bin/python -m compileall -q dlang backend scratch
.venv/bin/dtrap -e -n BEGIN
printf '%s\n' "$state" >.venv/setup-state
say "done: .venv/bin/dtrap"
