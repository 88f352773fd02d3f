dtrap: failed to compile script err.D_DECL_IDRED.inline.d: [D_DECL_IDRED] line 6: identifier redefined: a
	 current: inline definition
	previous: scalar inline
    inline int a = 2;
               ^
