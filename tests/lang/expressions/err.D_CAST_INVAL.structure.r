dtrap: failed to compile script err.D_CAST_INVAL.structure.d: [D_CAST_INVAL] line 6: invalid cast expression: "struct s" to "int"
    BEGIN { trace((int)s); }
                  ^~~~~~
