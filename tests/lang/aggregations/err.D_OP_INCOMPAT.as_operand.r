dtrap: failed to compile script err.D_OP_INCOMPAT.as_operand.d: [D_OP_INCOMPAT] line 5: an aggregation may not be used as an operand
    BEGIN { @a = count(); x = @a + 1; }
                              ^~
    hint: its value is known to printa() and at the end, when the parts of all processors are added up
