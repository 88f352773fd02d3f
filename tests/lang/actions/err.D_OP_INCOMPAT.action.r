dtrap: failed to compile script err.D_OP_INCOMPAT.action.d: [D_OP_INCOMPAT] line 5: operands have incompatible types: "int" = "void"
    int x; BEGIN { x = trace(1); }
                   ^~~~~~~~~~~~
