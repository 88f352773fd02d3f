dtrap: failed to compile script err.D_PROTO_ARG.strtok.d: [D_PROTO_ARG] line 5: strtok( ) argument #2 is incompatible with prototype:
	prototype: char *
	 argument: int
    BEGIN { trace(strtok("a b", 1)); }
                                ^
