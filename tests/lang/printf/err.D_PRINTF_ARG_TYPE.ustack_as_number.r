dtrap: failed to compile script err.D_PRINTF_ARG_TYPE.ustack_as_number.d: [D_PRINTF_ARG_TYPE] line 5: printf( ) argument #2 is incompatible with conversion #1 prototype:
	conversion: %d
	 prototype: char, short, int, long, or long long
	  argument: dt_stack_t
    BEGIN { printf("%d", ustack()); }
                         ^~~~~~~~
