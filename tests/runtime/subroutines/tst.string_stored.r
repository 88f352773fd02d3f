abc abc y
abcdef 6 1
variable

