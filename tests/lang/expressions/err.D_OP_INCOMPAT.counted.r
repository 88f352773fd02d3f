dtrap: failed to compile script err.D_OP_INCOMPAT.counted.d: [D_OP_INCOMPAT] line 5: operands have incompatible types: "scalar" = "aggregating function"
    BEGIN { x = count(); }
            ^~~~~~~~~~~
