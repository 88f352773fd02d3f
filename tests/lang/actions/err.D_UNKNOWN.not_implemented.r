dtrap: failed to compile script err.D_UNKNOWN.not_implemented.d: [D_UNKNOWN] line 5: chill() is not implemented (yet)
    BEGIN { chill(1000); }
            ^~~~~~~~~~~
