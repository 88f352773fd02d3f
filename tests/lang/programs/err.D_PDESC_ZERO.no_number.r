dtrap: failed to compile script err.D_PDESC_ZERO.no_number.d: [D_PDESC_ZERO] line 5: probe description pid:::entry does not match any probes
    pid:::entry { }
    ^~~~~~~~~~~
    hint: pid$target, with -p or -c, or a process number behind it
