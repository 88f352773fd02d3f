dtrap: failed to compile script err.D_SYNTAX.two_strings.d: [D_SYNTAX] line 5: syntax error near ""b""
    BEGIN { trace("a" "b"); }
                      ^~~
