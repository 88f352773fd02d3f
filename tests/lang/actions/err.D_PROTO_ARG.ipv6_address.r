dtrap: failed to compile script err.D_PROTO_ARG.ipv6_address.d: [D_PROTO_ARG] line 5: inet_ntoa6( ) argument #1 is incompatible with prototype:
	prototype: struct in6_addr *
	 argument: int *
    BEGIN { p = (int *)alloca(16); trace(inet_ntoa6(p)); }
                                                    ^
