/*
 * ASSERTION: A constant is as long as one or two letters l say, whichever they are.
 * SECTION: Lexical structure
 */
BEGIN { x = 1u + 1l + 1L + 1ul + 1UL + 1ll + 1lL + 1Ll + 1uLL + 0x1fUL; }
