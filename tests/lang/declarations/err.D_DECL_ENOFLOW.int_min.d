/*
 * ASSERTION: Enumerators are integers of type int.
 * SECTION: Types
 */
enum e { LEAST = -2147483649 };
