dtrap: failed to compile script err.D_ARR_LOCAL.never_assigned.d: [D_ARR_LOCAL] line 5: local variables may not be used as associative arrays: x
    BEGIN { trace(this->x[1]); }
                  ^~~~~~~~~~
