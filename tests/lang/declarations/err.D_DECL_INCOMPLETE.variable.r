dtrap: failed to compile script err.D_DECL_INCOMPLETE.variable.d: [D_DECL_INCOMPLETE] line 5: incomplete struct/union/enum struct unknown: x
    struct unknown x;
                   ^
