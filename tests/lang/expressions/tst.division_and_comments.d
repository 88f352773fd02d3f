/*
 * ASSERTION: A division stays one beside comments, and slashes in strings are no comments.
 * SECTION: Lexical structure
 */
BEGIN / 6 / 2 == 3 /
{
	x = 6 /* six */ / /* by two */ 2;
	y = x / 2 // and a comment
		/ 3;
	printf("// %d /* not a comment */\n", x / y);
}
