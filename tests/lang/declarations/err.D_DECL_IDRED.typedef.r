dtrap: failed to compile script err.D_DECL_IDRED.typedef.d: [D_DECL_IDRED] line 6: global variable identifier redeclared: u
    typedef long u;
                 ^
