dtrap: failed to compile script err.D_ARGS_IDX.pid.d: [D_ARGS_IDX] line 5: index 0 is out of range for dtrace:::BEGIN args[ ]
    dtrace:::BEGIN { trace(args[0]); }
                           ^~~~~~~
    hint: untyped: arg0
