dtrap: failed to compile script err.D_ADDROF_BITFIELD.member.d: [D_ADDROF_BITFIELD] line 6: cannot take address of bit-field
    BEGIN { trace((long)&s->a); }
                        ^~~~~
