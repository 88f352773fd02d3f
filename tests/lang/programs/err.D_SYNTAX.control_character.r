dtrap: failed to compile script err.D_SYNTAX.control_character.d: [D_SYNTAX] line 5: syntax error near "\x1b"
    BEGIN { trace(?[31m1); }
                  ^
