dtrap: failed to compile script err.D_SYNTAX.unknown.d: [D_SYNTAX] line 5: format conversion #1 is undefined: %q
    BEGIN { printf("%q", 1); }
                   ^~~~
