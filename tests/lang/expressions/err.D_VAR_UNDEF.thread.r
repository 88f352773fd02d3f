dtrap: failed to compile script err.D_VAR_UNDEF.thread.d: [D_VAR_UNDEF] line 5: self->x has not yet been declared or assigned
    BEGIN { trace(self->x); }
                  ^~~~~~~
