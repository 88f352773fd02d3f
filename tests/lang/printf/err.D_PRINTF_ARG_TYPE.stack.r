dtrap: failed to compile script err.D_PRINTF_ARG_TYPE.stack.d: [D_PRINTF_ARG_TYPE] line 5: printa( ) argument #2 is incompatible with conversion #1 prototype:
	conversion: %k
	 prototype: dt_stack_t
	  argument: int
    BEGIN { @[1] = count(); printa("%k", @); }
                                         ^
