dtrap: failed to compile script err.D_PROTO_ARG.inet_ntop.d: [D_PROTO_ARG] line 7: inet_ntop( ) argument #2 is incompatible with prototype:
	prototype: void *
	 argument: int
    	trace(inet_ntop(AF_INET, 5));
    	                         ^
