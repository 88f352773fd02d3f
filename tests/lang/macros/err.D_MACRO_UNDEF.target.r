dtrap: failed to compile script err.D_MACRO_UNDEF.target.d: [D_MACRO_UNDEF] line 5: macro variable $target is not defined
    BEGIN { trace($target); }
                  ^~~~~~~
    hint: $target is the process of -p or -c
