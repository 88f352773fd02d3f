dtrap: failed to compile script err.D_OP_INCOMPAT.comparison.d: [D_OP_INCOMPAT] line 5: operands have incompatible types: "string" == "int"
    BEGIN { x = execname == 5; }
                ^~~~~~~~~~~~~
