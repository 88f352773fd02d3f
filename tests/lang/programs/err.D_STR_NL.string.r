dtrap: failed to compile script err.D_STR_NL.string.d: [D_STR_NL] line 6: newline encountered in string literal
    BEGIN { trace("abc
                  ^~~~
