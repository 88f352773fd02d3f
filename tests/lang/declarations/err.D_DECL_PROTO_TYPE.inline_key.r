dtrap: failed to compile script err.D_DECL_PROTO_TYPE.inline_key.d: [D_DECL_PROTO_TYPE] line 5: array prototype may not use parameter of type void: a, parameter #1
    inline int both[void a] = 5;
                    ^~~~~~
