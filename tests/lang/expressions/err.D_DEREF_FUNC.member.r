dtrap: failed to compile script err.D_DEREF_FUNC.member.d: [D_DEREF_FUNC] line 6: cannot dereference pointer to function
    BEGIN { trace(*s->f); }
                  ^~~~~
