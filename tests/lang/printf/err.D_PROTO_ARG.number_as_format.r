dtrap: failed to compile script err.D_PROTO_ARG.number_as_format.d: [D_PROTO_ARG] line 5: printf( ) argument #1 is incompatible with prototype:
	prototype: string
	 argument: int
    BEGIN { printf(123); }
                   ^~~
