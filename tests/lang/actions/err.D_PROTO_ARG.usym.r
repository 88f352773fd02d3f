dtrap: failed to compile script err.D_PROTO_ARG.usym.d: [D_PROTO_ARG] line 5: usym( ) argument #1 is incompatible with prototype:
	prototype: uintptr_t
	 argument: string
    BEGIN { usym("f"); }
                 ^~~
