/*
 * ASSERTION: A structure has members.
 * SECTION: Types and declarations
 */
struct nothing { };
BEGIN { }
