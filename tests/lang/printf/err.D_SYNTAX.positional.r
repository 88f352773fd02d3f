dtrap: failed to compile script err.D_SYNTAX.positional.d: [D_SYNTAX] line 5: format conversion #1 uses unsupported positional format (%n$)
    BEGIN { printf("%1$d", 1); }
                   ^~~~~~
