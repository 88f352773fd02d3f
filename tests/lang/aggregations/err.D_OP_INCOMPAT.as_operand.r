dtrap: failed to compile script err.D_OP_INCOMPAT.as_operand.d: [D_OP_INCOMPAT] line 5: operands have incompatible types: "aggregation" + "int"
    BEGIN { @a = count(); x = @a + 1; }
                              ^~~~~~
