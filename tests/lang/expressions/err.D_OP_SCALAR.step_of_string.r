dtrap: failed to compile script err.D_OP_SCALAR.step_of_string.d: [D_OP_SCALAR] line 5: operator ++ requires operand of scalar type
    BEGIN { "a"++; }
            ^~~~~
