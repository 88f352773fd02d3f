dtrap: failed to compile script err.D_DECL_PROTO_FORM.inline_keys.d: [D_DECL_PROTO_FORM] line 5: parameter is already declared in array prototype: a, parameter #2
    inline int both[int a, int a] = a;
                           ^~~~~
