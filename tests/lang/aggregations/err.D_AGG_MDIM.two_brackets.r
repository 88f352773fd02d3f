dtrap: failed to compile script err.D_AGG_MDIM.two_brackets.d: [D_AGG_MDIM] line 5: improper attempt to reference @a as a multi-dimensional array
    BEGIN { @a[1][2] = count(); }
            ^~~~~~~~
