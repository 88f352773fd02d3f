/*
 * ASSERTION: 0 assigned to a structure frees it; a number may stand before a string; any number of rows in a clause; a
 * clause's number tells its probe; tags of structures and unions are apart; sizes and escapes of constants.
 * SECTION: Types
 * @@flags: -q
 */
struct same { int a, b; };
union same { int c; };
struct same whole[int]; self struct same own; union same one;
extern int somewhere(char *, ...);

BEGIN
{
	whole[1].b = 5;
	self->own.a = 6;
	one.c = 7;
	printf("%d %d %d\n", whole[1].b, self->own.a, one.c);
	whole[1] = 0;
	self->own = 0;
	printf("%d %d %d\n", whole[1].b, self->own.a, one.c);
	s = "hello";
	printf("%s %s\n", 1 + s, "abc" + 1);
	printf("%x %d %d\n", epid, $target, R_R1);
	trace(0);
	trace(1);
	trace(2);
	trace(3);
	trace(4);
	trace(5);
	trace(6);
	trace(7);
	trace(8);
	trace(9);
	trace(10);
	trace(11);
	trace(12);
	trace(13);
	trace(14);
	trace(15);
	trace(16);
	trace(17);
	trace(18);
	trace(19);
	trace(20);
	trace(21);
	trace(22);
	trace(23);
	trace(24);
	trace(25);
	trace(26);
	trace(27);
	trace(28);
	trace(29);
	trace(30);
	trace(31);
	trace(32);
	trace(33);
	trace(34);
	trace(35);
	trace(36);
	trace(37);
	trace(38);
	trace(39);
	trace(40);
	trace(41);
	trace(42);
	trace(43);
	trace(44);
	trace(45);
	trace(46);
	trace(47);
	trace(48);
	trace(49);
	trace(50);
	trace(51);
	trace(52);
	trace(53);
	trace(54);
	trace(55);
	trace(56);
	trace(57);
	trace(58);
	trace(59);
	trace(60);
	trace(61);
	trace(62);
	trace(63);
	trace(64);
	trace(65);
	trace(66);
	trace(67);
	trace(68);
	trace(69);
	trace("\n");
}

BEGIN
/seen == 0/
{
	seen++;
	printf("%x %d\n", epid, seen);
	exit(0);
}

END
{
	printf("%d %d %d %d\n", sizeof(NULL), sizeof("hi"), sizeof(string), sizeof('abcdefgh'));
	printf("%d %d %d\n", '\'', 'abcdefgh', '\"');
	printf("%s|%s\n", "a\tb\\n\"", "\?x\x21");
}
