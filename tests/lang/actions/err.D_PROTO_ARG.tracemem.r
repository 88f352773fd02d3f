dtrap: failed to compile script err.D_PROTO_ARG.tracemem.d: [D_PROTO_ARG] line 5: tracemem( ) argument #2 is incompatible with prototype:
	prototype: size_t
	 argument: string
    BEGIN { tracemem(1, "four"); }
                        ^~~~~~
