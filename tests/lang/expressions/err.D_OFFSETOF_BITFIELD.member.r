dtrap: failed to compile script err.D_OFFSETOF_BITFIELD.member.d: [D_OFFSETOF_BITFIELD] line 6: cannot take offset of a bit-field: a
    BEGIN { trace(offsetof(struct s, a)); }
                  ^~~~~~~~~~~~~~~~~~~~~
