/*
 * ASSERTION: Records that find no room are reported as drops of their processor, with the tag if asked.
 * SECTION: Losses
 * @@flags: -q -b 8k -x strsize=1k -x droptags
 * @@mask: drop-cpu
 */
BEGIN { printf("%s\n", strjoin("record ", "1")); }
BEGIN { printf("%s\n", strjoin("record ", "2")); }
BEGIN { printf("%s\n", strjoin("record ", "3")); }
BEGIN { printf("%s\n", strjoin("record ", "4")); }
BEGIN { printf("%s\n", strjoin("record ", "5")); }
BEGIN { printf("%s\n", strjoin("record ", "6")); }
BEGIN { printf("%s\n", strjoin("record ", "7")); }
BEGIN { printf("%s\n", strjoin("record ", "8")); }
BEGIN { printf("%s\n", strjoin("record ", "9")); }
BEGIN { exit(0); }
