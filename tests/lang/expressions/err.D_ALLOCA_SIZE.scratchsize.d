/*
 * ASSERTION: Option scratchsize bounds what copyin() takes.
 * SECTION: Subroutines/copyin
 */
#pragma D option scratchsize=512
BEGIN { copyin(0, 512); copyin(0, 513); }
