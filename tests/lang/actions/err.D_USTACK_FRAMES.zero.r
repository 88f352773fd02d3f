dtrap: failed to compile script err.D_USTACK_FRAMES.zero.d: [D_USTACK_FRAMES] line 5: ustack( ) argument #1 must be a non-zero positive integer constant
    BEGIN { ustack(0); }
                   ^
