dtrap: failed to compile script err.D_DECL_PROTO_VOID.second.d: [D_DECL_PROTO_VOID] line 5: void must be sole parameter
    int f(int, void);
               ^~~~
