dtrap: failed to compile script err.D_SIZEOF_BITFIELD.member.d: [D_SIZEOF_BITFIELD] line 6: cannot apply sizeof to a bit-field
    BEGIN { trace(sizeof (s.a)); }
                  ^~~~~~~~~~~~
