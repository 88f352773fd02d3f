dtrap: failed to compile script err.D_OP_SOU.pointer.d: [D_OP_SOU] line 6: operator . cannot be applied to type "struct s *"; must be applied to a struct or union
    BEGIN { trace(s.a); }
                  ^~~
    hint: for a pointer: ->
