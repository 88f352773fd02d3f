dtrap: failed to compile script err.D_ARGS_IDX.description.d: [D_ARGS_IDX] line 6: index 0 is out of range for :::BEGIN args[ ]
    $1, END { trace(args[0]); }
                    ^~~~~~~
    hint: untyped: arg0
