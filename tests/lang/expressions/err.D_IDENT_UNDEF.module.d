/*
 * ASSERTION: The kernel's symbols are out of reach.
 * SECTION: Expressions
 */
BEGIN { trace(vmlinux`x); }
