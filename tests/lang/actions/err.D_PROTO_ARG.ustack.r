dtrap: failed to compile script err.D_PROTO_ARG.ustack.d: [D_PROTO_ARG] line 5: ustack( ) argument #1 is incompatible with prototype:
	prototype: uint32_t
	 argument: string
    BEGIN { ustack("all"); }
                   ^~~~~
