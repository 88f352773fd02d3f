dtrap: failed to compile script err.D_CAST_INVAL.string_to_integer.d: [D_CAST_INVAL] line 5: invalid cast expression: "string" to "int"
    BEGIN { x = (int)execname; }
                ^~~~~~~~~~~~~
