dtrap: failed to compile script err.D_PROTO_ARG.array_written.d: [D_PROTO_ARG] line 6: bcopy( ) argument #2 is incompatible with prototype:
	prototype: alloca pointer
	 argument: non-alloca pointer
    BEGIN { bcopy(a, alloca(16), 16); bcopy(alloca(16), a, 16); }
                                                        ^
