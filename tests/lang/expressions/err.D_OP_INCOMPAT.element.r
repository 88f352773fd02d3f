dtrap: failed to compile script err.D_OP_INCOMPAT.element.d: [D_OP_INCOMPAT] line 5: operands have incompatible types: "int" = "string"
    BEGIN { a[1] = 3; a[2] = "x"; }
                      ^~~~~~~~~~
