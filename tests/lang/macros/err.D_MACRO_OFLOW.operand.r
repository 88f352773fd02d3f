dtrap: failed to compile script err.D_MACRO_OFLOW.operand.d: [D_MACRO_OFLOW] line 6: macro argument $1 constant 99999999999999999999 results in integer overflow
    BEGIN { trace($1); }
                  ^~
