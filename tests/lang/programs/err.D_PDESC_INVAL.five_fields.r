dtrap: failed to compile script err.D_PDESC_INVAL.five_fields.d: [D_PDESC_INVAL] line 5: invalid probe description "a:b:c:d:e": Overspecified probe description
    a:b:c:d:e { }
    ^~~~~~~~~
