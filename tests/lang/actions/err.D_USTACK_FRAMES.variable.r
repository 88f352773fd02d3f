dtrap: failed to compile script err.D_USTACK_FRAMES.variable.d: [D_USTACK_FRAMES] line 5: ustack( ) argument #1 must be a non-zero positive integer constant
    BEGIN { @[ustack(pid)] = count(); }
                     ^~~
