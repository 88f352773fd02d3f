dtrap: failed to compile script err.D_PDESC_INVAL.no_target.d: [D_PDESC_INVAL] line 5: invalid probe description "pid$target:::entry": Undefined macro variable in probe description
    pid$target:::entry { }
    ^~~~~~~~~~~~~~~~~~
    hint: name the process: -p PID or -c COMMAND
