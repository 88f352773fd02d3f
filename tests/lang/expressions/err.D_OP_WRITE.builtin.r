dtrap: failed to compile script err.D_OP_WRITE.builtin.d: [D_OP_WRITE] line 5: operator = can only be applied to a writable variable
    BEGIN { pid = 3; }
            ^~~~~~~
    hint: pid is a built-in variable
