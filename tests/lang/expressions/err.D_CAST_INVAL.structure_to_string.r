dtrap: failed to compile script err.D_CAST_INVAL.structure_to_string.d: [D_CAST_INVAL] line 6: invalid cast expression: "struct s" to "string"
    BEGIN { trace((string)v); }
                  ^~~~~~~~~
