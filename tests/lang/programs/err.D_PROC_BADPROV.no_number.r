dtrap: failed to compile script err.D_PROC_BADPROV.no_number.d: [D_PROC_BADPROV] line 5: 'pid' is not a valid provider
    pid:::entry { }
    ^~~~~~~~~~~
    hint: pid$target, with -p or -c, or a process number behind it
