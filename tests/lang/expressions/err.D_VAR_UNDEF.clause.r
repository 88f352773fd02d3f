dtrap: failed to compile script err.D_VAR_UNDEF.clause.d: [D_VAR_UNDEF] line 5: this->x has not yet been declared or assigned
    BEGIN { trace(this->x); }
                  ^~~~~~~
