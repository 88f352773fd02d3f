dtrap: failed to compile script err.D_CLEAR_AGGARG.a_number.d: [D_CLEAR_AGGARG] line 5: clear( ) argument #1 is incompatible with prototype:
	prototype: aggregation
	 argument: int
    BEGIN { clear(1); }
                  ^
