dtrap: failed to compile script err.D_PROC_BADPID.zero.d: [D_PROC_BADPID] line 5: pid0 does not contain a valid pid
    pid0:::entry { }
    ^~~~~~~~~~~~
    hint: name the process: -p PID or -c COMMAND
