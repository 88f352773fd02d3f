dtrap: failed to compile script err.D_OP_SOU.pointer_to_int.d: [D_OP_SOU] line 6: operator -> cannot be applied to pointer to type "int"; must be applied to a struct or union pointer
    BEGIN { trace(s->a); }
                  ^~~~
