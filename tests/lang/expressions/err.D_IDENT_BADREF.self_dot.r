dtrap: failed to compile script err.D_IDENT_BADREF.self_dot.d: [D_IDENT_BADREF] line 5: pointer 'self' may not be referenced as scalar
    BEGIN { trace(self.x); }
                  ^~~~
    hint: for example: self->x
