dtrap: failed to compile script err.D_UNKNOWN.not_compiled.d: [D_UNKNOWN] line 5: not supported by this version of dtrap: stack( )
    BEGIN { stack(); }
            ^~~~~~~
