dtrap: failed to compile script err.D_PROTO_ARG.exit.d: [D_PROTO_ARG] line 5: exit( ) argument #1 is incompatible with prototype:
	prototype: int
	 argument: string
    BEGIN { exit("a"); }
                 ^~~
