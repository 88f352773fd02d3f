dtrap: failed to compile script err.D_MACRO_UNDEF.argument.d: [D_MACRO_UNDEF] line 5: macro argument $1 is not defined
    BEGIN { trace($1); }
                  ^~
    hint: operands stand behind the program: dtrap -s script.d operand
