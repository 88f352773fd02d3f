dtrap: failed to compile script err.D_OP_INCOMPAT.assigned.d: [D_OP_INCOMPAT] line 5: operands have incompatible types: "scalar" = "aggregation"
    BEGIN { x = (@a = count()); }
            ^~~~~~~~~~~~~~~~~~
