dtrap: failed to compile script err.D_PRINTA_PROTO.format_alone.d: [D_PRINTA_PROTO] line 5: printa( ) prototype mismatch: 1 args passed, 2 expected
    BEGIN { printa("%d"); }
            ^~~~~~~~~~~~
