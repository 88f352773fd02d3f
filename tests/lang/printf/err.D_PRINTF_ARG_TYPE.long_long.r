dtrap: failed to compile script err.D_PRINTF_ARG_TYPE.long_long.d: [D_PRINTF_ARG_TYPE] line 5: printf( ) argument #2 is incompatible with conversion #1 prototype:
	conversion: %s
	 prototype: char [] or string (or use stringof)
	  argument: long long
    BEGIN { printf("%s", 1LL * 2); }
                         ^~~~~~~
