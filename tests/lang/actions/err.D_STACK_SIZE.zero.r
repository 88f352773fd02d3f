dtrap: failed to compile script err.D_STACK_SIZE.zero.d: [D_STACK_SIZE] line 5: stack( ) argument #1 must be a non-zero positive integer constant
    BEGIN { stack(0); }
                  ^
