dtrap: failed to compile script err.D_OP_INCOMPAT.inline.d: [D_OP_INCOMPAT] line 5: inline x definition uses incompatible types: "string" = "int"
    inline string x = 1;
    ^~~~~~~~~~~~~~~~~~~~
