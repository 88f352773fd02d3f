dtrap: failed to compile script err.D_PROTO_ARG.copyin.d: [D_PROTO_ARG] line 5: copyin( ) argument #1 is incompatible with prototype:
	prototype: uintptr_t
	 argument: string
    BEGIN { x = copyin("a", 1); }
                       ^~~
