/* The awkward instructions, in a program that has no room for anything within 2 GiB of them. */
#define main awkward
#include "awkward.c"
#undef main
#include "crowded.h"

int main(int argc, char **argv)
{
	crowd();
	return awkward(argc, argv);
}
