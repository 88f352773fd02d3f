dtrap: failed to compile script err.D_OP_INCOMPAT.structures.d: [D_OP_INCOMPAT] line 7: operands have incompatible types: "struct a" = "struct b"
    BEGIN { a = b; }
            ^~~~~
