dtrap: failed to compile script err.D_OP_WRITE.inline_with_keys.d: [D_OP_WRITE] line 6: operator = can only be applied to a writable variable
    BEGIN { twice[1] = 5; }
            ^~~~~~~~~~~~
