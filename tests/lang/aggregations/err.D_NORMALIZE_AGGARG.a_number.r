dtrap: failed to compile script err.D_NORMALIZE_AGGARG.a_number.d: [D_NORMALIZE_AGGARG] line 5: normalize( ) argument #1 is incompatible with prototype:
	prototype: aggregation
	 argument: int
    BEGIN { normalize(1, 2); }
                      ^
