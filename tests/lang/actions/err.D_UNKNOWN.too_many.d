/*
 * ASSERTION: Branches of a clause record at most 63 times; outside of branches there is no limit.
 * SECTION: Actions and subroutines
 */
BEGIN { trace(-1); if (1) { trace(0); trace(1); trace(2); trace(3); trace(4); trace(5); trace(6); trace(7); trace(8); trace(9); trace(10); trace(11); trace(12); trace(13); trace(14); trace(15); trace(16); trace(17); trace(18); trace(19); trace(20); trace(21); trace(22); trace(23); trace(24); trace(25); trace(26); trace(27); trace(28); trace(29); trace(30); trace(31); trace(32); trace(33); trace(34); trace(35); trace(36); trace(37); trace(38); trace(39); trace(40); trace(41); trace(42); trace(43); trace(44); trace(45); trace(46); trace(47); trace(48); trace(49); trace(50); trace(51); trace(52); trace(53); trace(54); trace(55); trace(56); trace(57); trace(58); trace(59); trace(60); trace(61); trace(62); trace(63); } }
