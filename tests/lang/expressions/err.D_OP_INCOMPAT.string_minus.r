dtrap: failed to compile script err.D_OP_INCOMPAT.string_minus.d: [D_OP_INCOMPAT] line 5: operands have incompatible types: "string" - "int"
    BEGIN { x = "a" - 1; }
                ^~~~~~~
