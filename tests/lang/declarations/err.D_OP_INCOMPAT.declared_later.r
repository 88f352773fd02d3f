dtrap: failed to compile script err.D_OP_INCOMPAT.declared_later.d: [D_OP_INCOMPAT] line 5: operands have incompatible types: "int" = "string"
    BEGIN { x = "a"; }
            ^~~~~~~
