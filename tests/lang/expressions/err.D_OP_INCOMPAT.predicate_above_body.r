dtrap: failed to compile script err.D_OP_INCOMPAT.predicate_above_body.d: [D_OP_INCOMPAT] line 7: operands have incompatible types: "string" == "int"
    /"a" == 1/
     ^~~~~~~~
