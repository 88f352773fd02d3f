dtrap: failed to compile script err.D_MACRO_UNDEF.assigned.d: [D_MACRO_UNDEF] line 5: macro variable $x is not defined
    BEGIN { $x = 1; }
            ^~
