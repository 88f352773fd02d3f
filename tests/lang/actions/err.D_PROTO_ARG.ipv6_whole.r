dtrap: failed to compile script err.D_PROTO_ARG.ipv6_whole.d: [D_PROTO_ARG] line 5: inet_ntoa6( ) argument #2 must be an integer constant
    BEGIN { x = 1; inet_ntoa6((struct in6_addr *)alloca(16), x); }
                                                             ^
