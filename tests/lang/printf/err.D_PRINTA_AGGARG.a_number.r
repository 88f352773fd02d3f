dtrap: failed to compile script err.D_PRINTA_AGGARG.a_number.d: [D_PRINTA_AGGARG] line 5: printa( ) argument #2 is incompatible with prototype:
	prototype: aggregation
	 argument: int
    BEGIN { printa("%d", 1); }
                         ^
