dtrap: failed to compile script err.D_PROTO_ARG.destination.d: [D_PROTO_ARG] line 5: bcopy( ) argument #2 is incompatible with prototype:
	prototype: alloca pointer
	 argument: non-alloca pointer
    BEGIN { q = (char *)16; p = alloca(4); bcopy(q, p, 4); bcopy(p, q, 4); }
                                                                    ^
