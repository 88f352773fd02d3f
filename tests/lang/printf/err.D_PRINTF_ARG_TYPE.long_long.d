/*
 * ASSERTION: A constant that ends in LL is a long long.
 * SECTION: Formats
 */
BEGIN { printf("%s", 1LL * 2); }
