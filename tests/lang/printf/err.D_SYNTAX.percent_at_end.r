dtrap: failed to compile script err.D_SYNTAX.percent_at_end.d: [D_SYNTAX] line 5: format conversion #1 name expected before end of format string
    BEGIN { printf("100%"); }
                   ^~~~~~
