dtrap: failed to compile script err.D_DECL_IDRED.inline_with_keys.d: [D_DECL_IDRED] line 6: identifier redefined: twice
	 current: inline definition
	previous: associative array inline
    inline int twice[int b] = b * 2;
               ^~~~~~~~~~~~
