dtrap: failed to compile script err.D_OP_INCOMPAT.names.d: [D_OP_INCOMPAT] line 10: operands have incompatible types: "signed short *" = "signed *"
    BEGIN { a2 = a; a = b; b = c; s.d = (signed *)0; }
                                  ^~~~~~~~~~~~~~~~~
