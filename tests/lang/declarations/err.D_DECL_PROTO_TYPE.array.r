dtrap: failed to compile script err.D_DECL_PROTO_TYPE.array.d: [D_DECL_PROTO_TYPE] line 5: function prototype may not use parameter of type dynamic variable: x, parameter #1
    int f(int x[int]);
          ^~~~~~~~~~
