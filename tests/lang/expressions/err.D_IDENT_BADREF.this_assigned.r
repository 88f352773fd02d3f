dtrap: failed to compile script err.D_IDENT_BADREF.this_assigned.d: [D_IDENT_BADREF] line 5: pointer 'this' may not be referenced as scalar
    BEGIN { this = 1; }
            ^~~~
    hint: for example: this->x
