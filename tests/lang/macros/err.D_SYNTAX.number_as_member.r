dtrap: failed to compile script err.D_SYNTAX.number_as_member.d: [D_SYNTAX] line 7: syntax error near "$1"
    BEGIN { self->$1 = 3; }
                  ^~
