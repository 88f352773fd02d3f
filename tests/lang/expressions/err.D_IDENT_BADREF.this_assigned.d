/*
 * ASSERTION: this alone can't be assigned to.
 * SECTION: `this->` variables
 */
BEGIN { this = 1; }
