dtrap: failed to compile script err.D_OP_VFPTR.step.d: [D_OP_VFPTR] line 6: operator ++ requires an operand of known size
    BEGIN { p++; }
            ^~~
